#!/usr/bin/env bash
# Checks what the dependencies are: deny.sh
#
# Licences, banned crates, versions that are there twice, and sources, by cargo-deny and `deny.toml`. It takes minutes to
# build, once, below .cache/ (a cargo-deny on the PATH is used as it is), so it is no part of test.sh.
#
# Known vulnerabilities need RustSec's database, a git repository on a public host. Where that host is reached they are
# checked too; where it is not, this says so in its last line and does not fail: `DENY_ADVISORIES=require` makes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

deny=$(command -v cargo-deny || true)
if [ -z "$deny" ]; then
    deny=$PWD/.cache/cargo-deny/bin/cargo-deny
    [ -x "$deny" ] || { echo "deny: building cargo-deny, once"; cargo install --quiet --locked --root .cache/cargo-deny cargo-deny; }
fi

"$deny" --locked --all-features check licenses bans sources

advisories="checked"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! timeout 120 "$deny" --locked --all-features check advisories >"$log" 2>&1; then
    if grep -qE 'failed to (fetch|load|open|acquire|clone)|unable to (fetch|load)|fetch advisory|error trying to connect|timed out|git' "$log" \
        && ! grep -q '^error\[\(vulnerability\|unsound\|unmaintained\|yanked\|notice\)\]' "$log"; then
        advisories="NOT CHECKED, RustSec's database cannot be reached"
        [ "${DENY_ADVISORIES:-}" != require ] || { cat "$log" >&2; exit 1; }
    else
        cat "$log" >&2
        exit 1
    fi
fi
echo "deny: ok (licences, bans, sources; advisories: $advisories)"
