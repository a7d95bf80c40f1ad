#!/usr/bin/env bash
# Breaks transfers in every way and phase, and proves what becomes of them: faults.sh [--quick | --long] [WORD]
#
# Without an option every cell of the matrix and every proof, in about three minutes; --quick a third of the cells and small
# proofs; --long instead the proofs that take minutes: ten gigabytes each way, and a file server that is away for 30 s.
# With WORD, only what has it in its name. Ends with the counts; the exit status follows: 2 if nothing has WORD in its name,
# 124 after half an hour, or two with --long. FAULTS_SEED repeats the random numbers of a run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/nats.sh
source scripts/lib/nats.sh

extent=--full
case "${1:-}" in
    --quick | --long)
        extent=$1
        shift
        ;;
    -*)
        echo "usage: $0 [--quick | --long] [WORD]" >&2
        exit 2
        ;;
esac

ensure_nats_server
limit=1800
if [ "$extent" = --long ]; then
    limit=7200
fi
# The whole workspace, so that nothing is built again with other features than the tests have.
timeout "$limit" cargo test --quiet --locked --workspace --test faults -- "$extent" "$@" &
# It has a process group of its own, which does not hear Ctrl-C.
trap 'kill $!' INT TERM
status=0
wait $! || status=$?
if [ "$status" = 124 ]; then
    echo "faults: not done within $limit s" >&2
fi
exit "$status"
