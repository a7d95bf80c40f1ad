#!/usr/bin/env bash
# Runs the fuzz targets for real: fuzz-long.sh HOURS [TARGET...]
#
# HOURS (a fraction will do) are shared out evenly; each target runs on one core, one after the other. Those that reach
# unsafe code get half of their time with AddressSanitizer, which is about six times slower and sees reads and writes that
# do no visible harm. Each run adds a line to fuzz/LOG.md; commit it. What is found: see fuzz-smoke.sh.
#
# A longer sitting goes on where the last one ended: the inputs that reach further are kept below .cache/fuzz.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
# shellcheck source=scripts/lib/fuzz.sh
source scripts/lib/fuzz.sh

hours=${1:-}
[[ $hours =~ ^[0-9]*\.?[0-9]+$ ]] || { echo "usage: $0 HOURS [TARGET...]" >&2; exit 2; }
shift
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(fuzz_targets)
[ ${#targets[@]} -gt 0 ] || { echo "fuzz-long: there are no targets" >&2; exit 1; }
seconds=$(awk -v hours="$hours" -v count="${#targets[@]}" 'BEGIN { printf "%d", hours * 3600 / count }')
[ "$seconds" -ge 10 ] || { echo "fuzz-long: that is ${seconds} s for each target: give more time" >&2; exit 2; }

# What reaches engine/src/base64/arch; and tables, behind which are Arrow's decoder and the C code of Zstandard, of which
# the sanitizer sees what is allocated and copied. Dictionaries are read by simd-json, which is unsafe throughout.
reaches_unsafe=" base64_split envelope_differential envelope_structured envelope_paths envelope_round_trip views_memory"
reaches_unsafe+=" table table_structured dictionary "

log=$(mktemp)
trap 'rm -f "$log"' EXIT
commit=$(git rev-parse --short=10 HEAD)$(git diff --quiet HEAD -- . ':!fuzz/LOG.md' || echo +)
failed=()

# sitting TARGET SECONDS none|address
sitting() {
    local target=$1 seconds=$2 sanitizer=$3 before after cpu runs edges features findings=none asan=no
    local extra=()
    if [ "$sanitizer" = address ]; then
        asan=yes
        # Its shadow is counted as memory of the program; leaks need ptrace, and are no fault here.
        extra=(-rss_limit_mb=4096 -detect_leaks=0)
    fi
    before=$(awk '{ print $16 + $17 }' "/proc/$$/stat")
    fuzz_run "$target" "$seconds" "$log" "${extra[@]}" || { findings="see fuzz/artifacts/$target"; failed+=("$target"); }
    after=$(awk '{ print $16 + $17 }' "/proc/$$/stat")
    cpu=$(awk -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", ticks / hz / 60 }')
    read -r runs edges features _ < <(fuzz_figures "$log")
    # A program without instrumentation runs, and finds nothing.
    if [ "$findings" = none ] && ! { [ "${runs:-0}" -gt 0 ] && [ "${edges:-0}" -gt 0 ]; }; then
        findings="it was not run"
        failed+=("$target")
    fi
    printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' \
        "$(date -u +%Y-%m-%d)" "$commit" "$target" "$asan" "${runs:--}" "${edges:--}" "${features:--}" "$cpu" "$findings" |
        tee -a fuzz/LOG.md
    [ "$findings" = none ] || grep -aE 'panicked at|ERROR|SUMMARY|Test unit written' -A 2 "$log" | head -n 20 >&2
}

fuzz_build none || { echo "fuzz-long: the targets cannot be built" >&2; exit 1; }
plain=$fuzz_bin
checked=
for target in "${targets[@]}"; do
    [[ $reaches_unsafe != *" $target "* ]] || checked=yes
done
if [ -n "$checked" ]; then
    fuzz_build address || { echo "fuzz-long: the targets cannot be built with AddressSanitizer" >&2; exit 1; }
    checked=$fuzz_bin
fi
for target in "${targets[@]}"; do
    fuzz_bin=$plain
    if [[ $reaches_unsafe == *" $target "* ]]; then
        sitting "$target" "$((seconds / 2))" none
        fuzz_bin=$checked
        sitting "$target" "$((seconds / 2))" address
    else
        sitting "$target" "$seconds" none
    fi
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzz-long: failed: ${failed[*]}" >&2
    exit 1
fi
echo "fuzz-long: ${#targets[@]} targets held"
