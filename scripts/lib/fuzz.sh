# Building and running the fuzz targets; to be sourced with the repository's root as the working directory.
#
# libFuzzer on the stable toolchain: the flags are those of cargo-fuzz, which runs the targets as well (from fuzz/:
# `cargo fuzz run -s none --features libfuzzer TARGET`) but has to be built first, in a minute of its own.
# shellcheck shell=bash

fuzz_host=$(rustc -vV | sed -n 's/^host: //p')

# fuzz_targets: their names.
fuzz_targets() {
    local file
    for file in fuzz/fuzz_targets/*.rs; do
        basename "$file" .rs
    done
}

# fuzz_build none|address: builds all targets in one go; fuzz_bin then holds the folder of the programs. Fails where cargo
# does: the programs of the last build would still be there, and run.
#
# Directories of their own: the instrumentation would rebuild everything else. `[profile.fuzz]` is what
# makes two cores be done in about three minutes.
fuzz_build() {
    local sanitizer=$1 target_dir status=0
    local flags="--cfg fuzzing -Cpasses=sancov-module"
    flags+=" -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
    flags+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
    target_dir=${FUZZ_TARGET_DIR:-$PWD/.cache/fuzz/target}/$sanitizer
    if [ "$sanitizer" = address ]; then
        # The sanitizer's flag is not stable, its runtime comes with the toolchain all the same.
        flags+=" -Zsanitizer=address"
        export RUSTC_BOOTSTRAP=1
    fi
    CARGO_TARGET_DIR=$target_dir RUSTFLAGS=$flags \
        cargo build --locked --profile fuzz --target "$fuzz_host" -p natsbridge-fuzz --features libfuzzer --bins ||
        status=$?
    unset RUSTC_BOOTSTRAP
    fuzz_bin=$target_dir/$fuzz_host/fuzz
    return "$status"
}

# fuzz_run TARGET SECONDS LOG OPTION...: runs one target; new inputs are kept below .cache/fuzz/corpus.
#
# What makes a target fail is left in fuzz/artifacts, and belongs into fuzz/seeds together with the fix.
fuzz_run() {
    local target=$1 seconds=$2 log=$3
    shift 3
    mkdir -p ".cache/fuzz/corpus/$target" "fuzz/artifacts/$target"
    "$fuzz_bin/$target" ".cache/fuzz/corpus/$target" "fuzz/seeds/$target" \
        -max_total_time="$seconds" -artifact_prefix="fuzz/artifacts/$target/" -print_final_stats=1 \
        -timeout=20 -rss_limit_mb=2048 "$@" >"$log" 2>&1
}

# fuzz_figures LOG: "EXECUTIONS EDGES FEATURES CORPUS" of a run that has ended.
fuzz_figures() {
    local last
    last=$(grep -E '^#[0-9]+.* cov: ' "$1" | tail -n 1)
    printf '%s %s %s %s\n' \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "$1" | tail -n 1)" \
        "$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' <<<"$last")" \
        "$(sed -n 's/.* ft: \([0-9]*\).*/\1/p' <<<"$last")" \
        "$(sed -n 's/.* corp: \([0-9]*\).*/\1/p' <<<"$last")"
}
