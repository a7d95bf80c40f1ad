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

step "format" cargo fmt --all --check
step "lints" cargo clippy --locked --workspace --all-targets -- -D warnings
step "lints of the faults" cargo clippy --locked -p natsbridge --all-features --test faults -- -D warnings
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
