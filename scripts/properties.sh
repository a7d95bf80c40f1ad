#!/usr/bin/env bash
# Runs every property with many random inputs: properties.sh [CASES]
#
# CASES for each property, 10,000 unless given; every run of the tests has some hundreds. Those of the codec, the planner,
# retries, policy and the rest are in the sources beside what they are about, in engine/tests/codec and, with the bodies of
# the fuzz targets, in fuzz/tests/random.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cases=${1:-10000}
[[ $cases =~ ^[1-9][0-9]*$ ]] || { echo "usage: $0 [CASES]" >&2; exit 2; }
export PROPTEST_CASES=$cases FUZZ_CASES=$cases
# The whole workspace, so that nothing is built again with other features than the tests have.
cargo test --locked --workspace --lib --bins --test codec --test random
echo "properties: all held for $cases cases each"
