#!/usr/bin/env bash
# Runs every fuzz target for a moment: fuzz-smoke.sh [SECONDS [TARGET...]]
#
# SECONDS for each target, 20 unless given; all targets unless some are named. Prints the runs, the coverage (edges and
# features of libFuzzer) and the verdict of each, and fails if one has found something: what did it is in fuzz/artifacts,
# and belongs into fuzz/seeds together with the fix. New inputs that reach further are kept below .cache/fuzz.
#
# The committed seeds are replayed by `cargo test -p natsbridge-fuzz` as well, without any of this.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
# shellcheck source=scripts/lib/fuzz.sh
source scripts/lib/fuzz.sh

seconds=${1:-20}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || { echo "usage: $0 [SECONDS [TARGET...]]" >&2; exit 2; }
shift || true
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(fuzz_targets)
[ ${#targets[@]} -gt 0 ] || { echo "fuzz-smoke: there are no targets" >&2; exit 1; }

fuzz_build none || { echo "fuzz-smoke: the targets cannot be built" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
printf '%-24s %12s %8s %9s  %s\n' target runs edges features verdict
for target in "${targets[@]}"; do
    fuzz_run "$target" "$seconds" "$log"
    status=$?
    read -r runs edges features _ < <(fuzz_figures "$log")
    verdict=ok
    if [ "$status" -ne 0 ]; then
        verdict="FAILED"
        failed+=("$target")
    elif ! [ "${runs:-0}" -gt 0 ] || ! [ "${edges:-0}" -gt 0 ]; then
        # A program without instrumentation runs, and finds nothing.
        verdict="FAILED: it was not run"
        failed+=("$target")
    fi
    printf '%-24s %12s %8s %9s  %s\n' "$target" "${runs:--}" "${edges:--}" "${features:--}" "$verdict"
    [ "$verdict" = ok ] || grep -aE 'panicked at|ERROR|SUMMARY|Test unit written' -A 2 "$log" | head -n 20 >&2
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzz-smoke: failed: ${failed[*]}" >&2
    exit 1
fi
echo "fuzz-smoke: ${#targets[@]} targets held for $seconds s each"
