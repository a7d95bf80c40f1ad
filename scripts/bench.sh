#!/usr/bin/env bash
# Runs all benchmarks and writes a report: bench.sh [--quick] [--record]
#
# The report is target/bench-report/index.html, one page that needs nothing else, and report.json, what it was made
# of. --record also keeps the figures in bench/records/<date>-<commit>/; commit them. Takes about 10 minutes, a few
# with --quick. Missing rivals (Node, Python, curl, a nats-server) are named as absent in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/nats.sh
source scripts/lib/nats.sh

options=() record=false
for option in "$@"; do
    case "$option" in
        --quick) options+=("$option") ;;
        --record) record=true ;;
        *)
            echo "usage: $0 [--quick] [--record]" >&2
            exit 2
            ;;
    esac
done

ensure_nats_server || echo "bench: no nats-server: its rows will be absent" >&2
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
out=$target/bench-report
cargo build --release --locked -p natsbridge-bench --bins
bench=$target/release/natsbridge-bench
"$bench" test
"$bench" report "${options[@]}" --out "$out"

if $record; then
    folder=bench/records/$(date -u +%Y-%m-%d)-$(git rev-parse --short=10 HEAD)
    mkdir -p "$folder"
    cp "$out/report.json" "$out/envelope.svg" "$out/method.md" "$out/targets.md" "$folder/"
    git diff --quiet HEAD -- engine bench Cargo.lock ||
        echo "bench: the tree has changes that are not committed; the record says so" >&2
    echo "bench: recorded in $folder"
fi
echo "bench: $out/index.html"
