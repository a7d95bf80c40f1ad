#!/usr/bin/env bash
# Fails where the engine became slower or allocates more: bench-gate.sh [OPTION...] [BASE]
#
# Counts instructions (under valgrind) and allocations of the working tree, and compares them with a git revision
# BASE, which is built for it, or else with the record in bench/records/gate.json. Counts are exact, so the same tree
# gives the same counts; time is shown beside them and never decides.
#
# Counts of another compiler, C library, valgrind or kind of CPU say nothing about the code. If the record is of such
# a place, the commit that last changed the record is built here and compared instead: slower, and as strict.
#
#   --record           writes bench/records/gate.json instead; commit it with the change that it belongs to
#   --record-to FILE   the same to another file
#   --against FILE     compares with another record
#   --part NAME        only scenarios whose name contains NAME; may be repeated
#   --plant FAULT      plants a `slowdown` or an `allocation`, to see the gate fail
#   --threshold N      by how many percent instructions may grow (default: 2)
#
# Leaves in target/bench-gate: new.json (a record), new.github-action-benchmark.json and new.bencher.json (what these
# trackers read). Exit code: 0 passed, 1 slower or more allocations, 2 could not be measured.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
}

fail() {
    echo "bench-gate: $*" >&2
    exit 2
}

base='' against='' record_to='' threshold=2
measure=(--gate --quick)
parts=()
while [ $# -gt 0 ]; do
    case "$1" in
        --against | --part | --plant | --record-to | --threshold) [ $# -ge 2 ] || usage ;;
    esac
    case "$1" in
        --against) against=$2 && shift ;;
        --part) parts+=("$2") && shift ;;
        --plant) measure+=(--plant "$2") && shift ;;
        --record) record_to=bench/records/gate.json ;;
        --record-to) record_to=$2 && shift ;;
        --threshold) threshold=$2 && shift ;;
        -*) usage ;;
        *) [ -z "$base" ] || usage && base=$1 ;;
    esac
    shift
done

# shellcheck source=scripts/lib/valgrind.sh
source scripts/lib/valgrind.sh
ensure_valgrind || fail "there is no valgrind to count with"

target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
[ -n "$target" ] || fail "cargo names no target directory"
work=$target/bench-gate
mkdir -p "$work"

# build FOLDER INTO: the two programs of the tree in FOLDER, copied to INTO (the next build overwrites them).
build() {
    (cd "$1" && CARGO_TARGET_DIR=$target cargo build --quiet --locked --profile gate -p natsbridge-bench --bins \
        --no-default-features) || return 1
    rm -rf "$2" && mkdir -p "$2/gate"
    cp "$target/gate/natsbridge-bench" "$target/gate/natsbridge-bench-counted" "$2/gate/"
}

echo "bench-gate: building the working tree"
build . "$work/new" || fail "the working tree does not build"
env -u CARGO "$work/new/gate/natsbridge-bench" record "${measure[@]}" "${parts[@]}" --out "$work/new.json" ||
    fail "the working tree cannot be measured"
if [ -n "$record_to" ]; then
    cp "$work/new.json" "$record_to"
    echo "bench-gate: recorded in $record_to"
    exit 0
fi

# measure_revision REVISION: its record, made on this machine, in base.json.
measure_revision() {
    local tree=$work/base-tree code=0
    git worktree remove --force "$tree" 2>/dev/null || rm -rf "$tree"
    git worktree prune
    git worktree add --quiet --detach "$tree" "$1" || fail "there is no revision $1 here (a shallow clone?)"
    [ -f "$tree/bench/src/record.rs" ] || fail "$1 has no such benchmarks yet"
    echo "bench-gate: building $1"
    build "$tree" "$work/base" || code=1
    git worktree remove --force "$tree"
    [ $code -eq 0 ] || fail "$1 does not build"
    env -u CARGO "$work/base/gate/natsbridge-bench" record --gate --quick "${parts[@]}" --out "$work/base.json" ||
        fail "$1 cannot be measured"
}

# compare RECORD [OPTION]: the gate's verdict; 3 where the record is of another machine or compiler.
compare() {
    "$work/new/gate/natsbridge-bench" compare "$@" --threshold "$threshold" "$work/new.json"
}

code=0
if [ -n "$base" ]; then
    measure_revision "$base"
    compare "$work/base.json" || code=$?
else
    record=${against:-bench/records/gate.json}
    [ -f "$record" ] || fail "there is no $record: make it with --record"
    compare "$record" || code=$?
    if [ $code -eq 3 ] && [ -z "$against" ]; then
        base=$(git log -1 --format=%H -- "$record")
        [ -n "$base" ] || fail "the record is of another machine, and no commit has it (a shallow clone?)"
        echo "bench-gate: THE RECORD IS OF ANOTHER MACHINE OR COMPILER: comparing with $base, built here"
        code=0
        measure_revision "$base"
        compare "$work/base.json" || code=$?
    fi
fi
case $code in
    0) echo "bench-gate: passed" ;;
    1) echo "bench-gate: FAILED" >&2 ;;
    *) fail "the records cannot be compared" ;;
esac
exit $code
