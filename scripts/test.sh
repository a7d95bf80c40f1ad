#!/usr/bin/env bash
# Installs what the tests need and runs them all: test.sh [--quick]
#
# A fresh machine needs Rust, a C and a C++ compiler, Python 3.11 and Node 20; everything else is installed below .cache/ and
# in conformance/ports/javascript. --quick leaves out the lints, the demo and the live matrix of all ports.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/nats.sh
source scripts/lib/nats.sh

quick=false
case "${1:-}" in
    "") ;;
    --quick) quick=true ;;
    *)
        echo "usage: $0 [--quick]" >&2
        exit 2
        ;;
esac

# Where nobody builds the same tree again, what speeds that up is gigabytes for nothing.
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0

# The build names no cause that helps when the disk is full, after half an hour.
free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
if [ "$free" -lt 12 ]; then
    echo "test: $free GiB are free on this disk; a first run takes 12, later ones little" >&2
fi

failed=()
passed=0
started=$SECONDS

# step NAME COMMAND...: runs it, says how long it took, and goes on whatever happens.
step() {
    local name=$1 begun=$SECONDS
    shift
    echo "=== $name"
    if "$@"; then
        echo "=== $name: ok ($((SECONDS - begun)) s)"
        passed=$((passed + 1))
    else
        echo "=== $name: FAILED ($((SECONDS - begun)) s)" >&2
        failed+=("$name")
    fi
}

step "a nats-server" ensure_nats_server
step "what the ports need" conformance/ports/setup.sh
step "what the engine pulls in" scripts/core-deps.sh
step "the minimum Rust version" scripts/msrv.sh
step "the tests" cargo test --locked --no-fail-fast --workspace
step "the codec core alone" cargo test --locked --no-fail-fast -p natsbridge --no-default-features --lib --test codec
step "faults" scripts/faults.sh --quick
step "the ports among themselves" .cache/peers-venv/bin/python conformance/ports/selftest.py
step "the Python port" .cache/peers-venv/bin/python -m unittest discover -s conformance/ports/python/tests
step "the MicroPython port" .cache/peers-venv/bin/python -m unittest discover -s conformance/ports/micropython/tests
step "the JavaScript port" npm --prefix conformance/ports/javascript test
if command -v julia >/dev/null; then
    step "the Julia port" julia --startup-file=no conformance/ports/julia/test/runtests.jl
else
    echo "=== the Julia port: NOT RUN, no julia on the PATH"
fi
step "the fuzz targets, 5 s each" scripts/fuzz-smoke.sh 5
step "the benchmark gate" scripts/bench-gate.sh
step "what the benchmark gate finds" scripts/bench-gate-test.sh
if ! $quick; then
    step "format, lints and documentation" scripts/check.sh
    step "the types of the JavaScript port" npm --prefix conformance/ports/javascript run types
    step "the demo" scripts/demo.sh
    step "the conformance kit" scripts/conformance.sh
fi

echo "steps: $passed passed, ${#failed[@]} failed"
if [ ${#failed[@]} -gt 0 ]; then
    printf 'test: failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "test: all passed in $((SECONDS - started)) s"
