#!/usr/bin/env bash
# Sends one message with all seven payload types, 80 MB among them, from one process to others, and compares what
# arrives: demo.sh
#
# Needs Rust, Python 3 and the package registries; starts its own nats-server and file server on free ports, keeps
# everything in a temporary folder, and leaves nothing behind. NATS_SERVER_BIN names a nats-server to use.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/nats.sh
source scripts/lib/nats.sh

if [ $# -gt 0 ]; then
    echo "usage: $0" >&2
    exit 2
fi

pids=()
work=$(mktemp -d "${TMPDIR:-/tmp}/natsbridge-demo.XXXXXX")
cleanup() {
    local status=$? pid
    trap - EXIT INT TERM
    for pid in ${pids[@]+"${pids[@]}"}; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in ${pids[@]+"${pids[@]}"}; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "demo: $1" >&2
    if [ -n "${2:-}" ]; then
        sed 's/^/    /' "$2" >&2 || true
    fi
    exit 1
}

# await WHAT PID LOG COMMAND...: until the command succeeds, at most 20 s, and only while the process lives.
await() {
    local what=$1 pid=$2 log=$3
    shift 3
    for _ in $(seq 200); do
        if "$@" 2>/dev/null; then
            return
        fi
        kill -0 "$pid" 2>/dev/null || fail "$what ended" "$log"
        sleep 0.1
    done
    fail "$what is not ready after 20 s" "$log"
}

command -v python3 >/dev/null || fail "python3 is needed"
command -v cargo >/dev/null || fail "cargo is needed"

echo "--- building (the first time takes a few minutes)"
# As part of the workspace: libraries with the features that the tests build them with, and not a second time.
cargo build --locked --workspace --bin natsbridge
target=$(cargo metadata --locked --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
natsbridge=$target/debug/natsbridge
ensure_nats_server

echo "--- starting a NATS server and a file server"
server=$NATS_SERVER_BIN
cat >"$work/nats.conf" <<CONF
listen: "127.0.0.1:-1"
ports_file_dir: "$work"
CONF
# Settings of whoever runs this must not lead elsewhere.
for name in "${!NATS_@}" "${!NATSBRIDGE_@}" "${!PLIK_@}"; do
    unset "$name"
done
"$server" -c "$work/nats.conf" >"$work/nats.log" 2>&1 &
nats=$!
pids+=("$nats")
find_nats() { nats_url=$(sed -n 's/.*"nats":\["\([^"]*\)".*/\1/p' "$work"/*.ports) && [ -n "$nats_url" ]; }
await "the NATS server" "$nats" "$work/nats.log" find_nats
export NATS_URL=$nats_url

"$natsbridge" fileserver --listen 127.0.0.1:0 --dir "$work/files" >"$work/fileserver.url" 2>"$work/fileserver.log" &
files=$!
pids+=("$files")
await "the file server" "$files" "$work/fileserver.log" grep -q '^http' "$work/fileserver.url"
files_url=$(head -n 1 "$work/fileserver.url")
echo "    $NATS_URL ($("$server" --version)), $files_url"

echo "--- listening: one receiver for people, one that prints JSON and saves files"
receive=("$natsbridge" receive /chat/room1 --count 1 --timeout 120s --fileserver "$files_url")
"${receive[@]}" >"$work/people.txt" 2>"$work/people.log" &
people=$!
pids+=("$people")
"${receive[@]}" --json --output "$work/arrived" >"$work/message.json" 2>"$work/message.log" &
machine=$!
pids+=("$machine")
await "the first receiver" "$people" "$work/people.log" grep -q '^ready$' "$work/people.log"
await "the second receiver" "$machine" "$work/message.log" grep -q '^ready$' "$work/message.log"

echo "--- sending one message with seven payloads"
python3 scripts/lib/demo_files.py make "$work/send"
"$natsbridge" send /chat/room1 --fileserver "$files_url" --sender-name demo --json \
    "greeting:text@$work/send/greeting.txt" \
    "config:dictionary@$work/send/config.json" \
    "scores:table@$work/send/scores.csv" \
    "photo:image@$work/send/photo.png" \
    "tone:audio@$work/send/tone.wav" \
    "clip:video@$work/send/clip.mp4" \
    "archive:binary@$work/send/archive.bin" \
    >"$work/receipt.json" 2>"$work/send.log" || fail "sending failed" "$work/send.log"

wait "$people" || fail "the first receiver failed" "$work/people.log"
wait "$machine" || fail "the second receiver failed" "$work/message.log"
echo "--- what arrived"
cut -c 1-110 "$work/people.txt" | sed 's/^/    /'
echo "--- comparing what arrived with what was sent"
python3 scripts/lib/demo_files.py check "$work/send" "$work/receipt.json" "$work/message.json"
