#!/usr/bin/env bash
# Proves what the engine does not pull in: core-deps.sh
#
# * The codec core (--no-default-features) has no async runtime, no HTTP, no TLS and no Arrow.
# * A program that links the engine with everything gets nothing of the command-line program's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0

# absent WHAT PATTERN TREE_ARGUMENTS...: no crate of the tree matches the pattern.
absent() {
    local what=$1 pattern=$2 tree found
    shift 2
    tree=$(cargo tree --locked -p natsbridge -e normal --prefix none --format '{p}' "$@" | cut -d' ' -f1 | sort -u)
    # An empty tree would prove nothing.
    grep -qx simd-json <<<"$tree" || { echo "core-deps: cargo tree printed no dependencies for $what" >&2; exit 1; }
    if found=$(grep -xE "$pattern" <<<"$tree"); then
        echo "core-deps: $what pulls in: $(tr '\n' ' ' <<<"$found")" >&2
        failed=1
    else
        echo "core-deps: $what: $(wc -l <<<"$tree") crates, none of them unwanted"
    fi
}

runtime='tokio(-.*)?|async-.*|futures(-.*)?|mio|socket2'
http='hyper(-.*)?|http(-.*)?|h2|url'
tls='rustls(-.*)?|ring|aws-lc.*|native-tls|openssl.*'
absent "the codec core" "$runtime|$http|$tls|arrow-.*|tracing|uuid|rand" --no-default-features
absent "plik alone" "async-nats|arrow-.*" --no-default-features --features plik
absent "the whole engine" "clap.*|indicatif|mimalloc|tracing-subscriber|arrow-csv|arrow-json" --all-features

[ "$failed" -eq 0 ] && echo "core-deps: ok"
exit "$failed"
