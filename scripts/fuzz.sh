#!/usr/bin/env bash
# Runs the fuzz targets on the stable toolchain: fuzz.sh [SECONDS [TARGET...]]
#
# SECONDS for each target, 20 unless given; all targets unless some are named. New inputs are kept below .cache/fuzz;
# what makes a target fail is left in fuzz/artifacts, and belongs into fuzz/seeds together with the fix. The committed
# seeds are replayed by `cargo test` as well, without any of this.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-20}
[[ $seconds =~ ^[0-9]+$ ]] || { echo "usage: $0 [SECONDS [TARGET...]]" >&2; exit 2; }
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz/fuzz_targets/*.rs; do
        targets+=("$(basename "$file" .rs)")
    done
fi

fuzz=$(command -v cargo-fuzz || true)
if [ -z "$fuzz" ]; then
    fuzz=$PWD/.cache/cargo-fuzz/bin/cargo-fuzz
    [ -x "$fuzz" ] || { echo "fuzz: installing cargo-fuzz"; cargo install --quiet --locked --root .cache/cargo-fuzz cargo-fuzz; }
fi
# A target directory of its own: the instrumentation would rebuild everything else.
export CARGO_TARGET_DIR=$PWD/.cache/fuzz/target

for target in "${targets[@]}"; do
    echo "=== $target for $seconds s"
    mkdir -p ".cache/fuzz/corpus/$target"
    "$fuzz" fuzz run -s none --features libfuzzer "$target" ".cache/fuzz/corpus/$target" "fuzz/seeds/$target" \
        -- -max_total_time="$seconds" -print_final_stats=1 2>&1 | tail -n 12
done
echo "fuzz: ${#targets[@]} targets held"
