#!/usr/bin/env bash
# Tests the benchmark gate: bench-gate-test.sh [--full]
#
# An unchanged tree passes with identical counts, twice; a planted slowdown fails; a planted allocation fails. With
# --full the same is done to the source: a copy of this commit is changed and compared with the commit itself, once in
# what is measured and once elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

full=false
case "${1:-}" in
    "") ;;
    --full) full=true ;;
    *)
        echo "usage: $0 [--full]" >&2
        exit 2
        ;;
esac

work=$(mktemp -d)
clean_up() {
    git worktree remove --force "$work/tree" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT
# Small, and with rows that allocate nothing.
gate=(scripts/bench-gate.sh --part envelope/encode/binary/64B --part envelope/scan/payloads-8)

# expect CODE TEXT WHAT COMMAND...: the exit code, and a text in the output.
expect() {
    local code=$1 text=$2 what=$3 got=0
    shift 3
    "$@" >"$work/out" 2>&1 || got=$?
    if [ "$got" -ne "$code" ] || ! grep -qE "$text" "$work/out"; then
        cat "$work/out" >&2
        echo "bench-gate-test: FAILED: $what: exit code $got instead of $code, or no line with: $text" >&2
        exit 1
    fi
    echo "bench-gate-test: $what: as it should be"
}

# counts FILE: the rows that must repeat exactly.
counts() {
    grep -E '"metric":"(instructions|allocations|allocated_bytes)"' "$1"
}

expect 0 "recorded" "a record is made" "${gate[@]}" --record-to "$work/base.json"
expect 0 "bench-gate: passed" "an unchanged tree" "${gate[@]}" --against "$work/base.json"
expect 0 "recorded" "a second record is made" "${gate[@]}" --record-to "$work/again.json"
[ -n "$(counts "$work/base.json")" ] || { echo "bench-gate-test: FAILED: a record without rows" >&2; exit 1; }
diff <(counts "$work/base.json") <(counts "$work/again.json") ||
    { echo "bench-gate-test: FAILED: the same tree, other counts" >&2; exit 1; }
expect 1 "FAILED envelope/encode/binary/64B/natsbridge: .* instructions" "a planted slowdown" \
    "${gate[@]}" --against "$work/base.json" --plant slowdown
expect 1 "FAILED envelope/scan/payloads-8/1KiB/natsbridge: 0 -> 1 allocations" "a planted allocation" \
    "${gate[@]}" --against "$work/base.json" --plant allocation
expect 2 "cannot be measured" "no rows at all" scripts/bench-gate.sh --part no-such-scenario --against "$work/base.json"
sed 's/"rustc":"/"rustc":"another /' "$work/base.json" >"$work/other.json"
expect 2 "cannot be compared" "the record of another compiler" "${gate[@]}" --against "$work/other.json"

if $full; then
    git worktree add --quiet --detach "$work/tree" HEAD
    cd "$work/tree"
    export CARGO_TARGET_DIR=$work/target
    printf '\n/// Not measured.\npub fn unrelated(text: &str) -> usize {\n    text.lines().map(str::len).sum()\n}\n' \
        >>engine/src/timestamp.rs
    expect 0 "bench-gate: passed" "an unrelated change" "${gate[@]}" HEAD
    sed -i 's/^    natsbridge::encode(.*$/&\n    std::hint::black_box(vec![out.len(); 40]);/' bench/src/engine.rs
    git diff --quiet -- bench/src/engine.rs && { echo "bench-gate-test: FAILED: nothing was planted" >&2; exit 1; }
    expect 1 "FAILED envelope/encode/binary/64B/natsbridge: 0 -> 1 allocations" "a slower engine" "${gate[@]}" HEAD
fi
echo "bench-gate-test: the gate holds"
