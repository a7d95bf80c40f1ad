#!/usr/bin/env bash
# Checks the source without running it: check.sh
#
# Format, lints of every member in every configuration that has code of its own, and the documentation. Everything is
# tried before it fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=()

# step NAME COMMAND...
step() {
    local name=$1
    shift
    echo "check: $name"
    "$@" || failed+=("$name")
}

# safe_elsewhere: `unsafe` occurs in no source but that of the kernels. The compiler denies it in the engine; this sees tests,
# tools and fuzz targets as well. Comments may speak of it.
safe_elsewhere() {
    local found kernels=engine/src/base64/arch
    found=$(git ls-files --cached --others --exclude-standard -- '*.rs' ":!$kernels" |
        xargs grep -nE '\bunsafe\b' | grep -vE '^[^:]+:[0-9]+:\s*//')
    # What finds nothing there finds nothing anywhere.
    grep -rqE '\bunsafe \{' "$kernels" || { echo "check: no unsafe code in $kernels" >&2; return 1; }
    grep -q '^#!\[deny(unsafe_code)\]' engine/src/lib.rs || { echo "check: the engine allows unsafe code" >&2; return 1; }
    # A reason in an attribute is text too.
    found=$(grep -vE 'reason = ".*\bunsafe\b' <<<"$found")
    [ -z "$found" ] || { echo "check: unsafe code outside $kernels:" >&2; echo "$found" >&2; return 1; }
}

step "unsafe code" safe_elsewhere
step "format" cargo fmt --all --check
step "lints" cargo clippy --locked --workspace --all-targets -- -D warnings
step "lints of the faults" cargo clippy --locked --workspace --test faults -- -D warnings
# A lint sees only the configuration that it builds.
for features in "" nats plik table fileserver; do
    step "lints of the engine with only '$features'" \
        cargo clippy --locked -p natsbridge --no-default-features --features "$features" -- -D warnings
done
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked -p natsbridge --all-features --no-deps

if [ ${#failed[@]} -gt 0 ]; then
    echo "check: failed: ${failed[*]}" >&2
    exit 1
fi
echo "check: ok"
