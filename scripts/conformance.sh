#!/usr/bin/env bash
# Runs the vectors against every port, then every port against every port:
#
#   conformance.sh [--testee CMD] [--area AREA] [--only ID] [--file-server URL] [--report DIR]
#
# Installs what the ports need below .cache/, and starts a nats-server and a file server of its own. The last line is the
# count; the exit status follows. conformance/README.md describes the options.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/nats.sh
source scripts/lib/nats.sh

testee=
filter=()
live_only=()
live_wanted=false # asked for by name
live_options=()
report=.cache/conformance
while [ $# -gt 0 ]; do
    if [ $# -lt 2 ]; then
        echo "usage: $0 [--testee CMD] [--area AREA] [--only ID] [--file-server URL] [--report DIR]" >&2
        exit 2
    fi
    case "$1" in
        --testee) testee=$2 ;;
        --area)
            if [ "$2" = live ]; then live_wanted=true; else filter+=(--area "$2"); fi
            ;;
        --only)
            case "$2" in
                live-*)
                    live_only+=(--only "$2")
                    live_wanted=true
                    ;;
                *) filter+=(--only "$2") ;;
            esac
            ;;
        --file-server) live_options+=(--file-server "$2") ;;
        --report) report=$2 ;;
        *)
            echo "$0: no such option: $1" >&2
            exit 2
            ;;
    esac
    shift 2
done

ensure_nats_server || exit 2
echo "conformance: building the runner"
# As part of the workspace: libraries with the features that the tests build them with, and not a second time.
cargo build --locked --quiet --workspace --bin natsbridge-conformance || exit 2
runner=${CARGO_TARGET_DIR:-target}/debug/natsbridge-conformance

# Reports of an earlier run say nothing about this one.
mkdir -p "$report" || exit 2
rm -f "$report"/*.jsonl "$report"/*.junit.xml "$report"/index.html

commands=(engine engine-pipe)
live=(--port engine)
missing=()
broken=()
# port NAME COMMAND WHY: takes part if WHY is empty, else is shown as not run.
port() {
    if [ -n "$3" ]; then
        missing+=("$1=$3")
    else
        commands+=("$2")
        live+=(--port "$2")
    fi
}

if [ -n "$testee" ]; then
    commands=("$testee")
    live+=(--port "$testee")
else
    conformance/ports/setup.sh || exit 2
    venv=${NATSBRIDGE_PEERS_VENV:-.cache/peers-venv}
    ports=conformance/ports
    chromium=
    [ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null || chromium="no Chromium: install it, or set CHROMIUM"
    julia=
    command -v julia >/dev/null || julia="no julia on the PATH"
    port python "$venv/bin/python $ports/python/testee.py" ""
    port node "node $ports/javascript/testee.mjs" ""
    port micropython "$venv/bin/micropython -X heapsize=64M $ports/micropython/testee.py" ""
    port browser "node $ports/javascript/testee_browser.mjs" "$chromium"
    port julia "julia --startup-file=no $ports/julia/testee.jl" "$julia"
fi

# The vectors for every port, unless only exchanges of the matrix were asked for.
if ! $live_wanted || [ ${#filter[@]} -gt 0 ]; then
    for command in "${commands[@]}"; do
        echo "=== vectors: $command"
        # Julia compiles at its first calls.
        patience=()
        case "$command" in julia*) patience=(--timeout 120) ;; esac
        "$runner" run --testee "$command" ${filter[@]+"${filter[@]}"} ${patience[@]+"${patience[@]}"} --report "$report"
        # 1 is in the report; anything else left none.
        [ $? -le 1 ] || broken+=("it did not come up: $command")
    done
fi
for why in ${missing[@]+"${missing[@]}"}; do
    live_options+=(--not-run "$why")
    if [ ${#filter[@]} -eq 0 ] && ! $live_wanted; then
        "$runner" not-run "${why%%=*}" "${why#*=}" "$report"
    fi
done
if $live_wanted || [ ${#filter[@]} -eq 0 ]; then
    echo "=== live: every port to every port"
    "$runner" live "${live[@]}" ${live_only[@]+"${live_only[@]}"} ${live_options[@]+"${live_options[@]}"} --report "$report"
    [ $? -le 1 ] || broken+=("the live matrix did not run")
fi

echo "=== all"
"$runner" report "$report" ${broken[@]+"${broken[@]}"}
