#!/usr/bin/env bash
# Installs what the Python and Node peers need: setup.sh [VENV_DIRECTORY]
# Does nothing where that is already done for the versions pinned here.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:-$here/../../.cache/peers-venv}

say() { printf 'peers: %s\n' "$1"; }
fail() { printf 'peers: %s\n' "$1" >&2; exit 1; }
digest() { sha256sum "$1" | cut -d' ' -f1; }
# is_done STAMP FILE: the stamp was left by an installation from this very FILE.
is_done() { [ -f "$1" ] && [ "$(cat "$1")" = "$(digest "$2")" ]; }

python=$(command -v python3.11 || command -v python3) || fail "Python 3.11 or newer is needed"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"
command -v npm >/dev/null || fail "Node 20 or newer with npm is needed"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || fail "Node 20 or newer is needed"

if is_done "$venv/.peers-done" "$here/python/requirements.txt"; then
    say "Python environment is ready: $venv"
else
    say "installing the Python environment into $venv"
    mkdir -p "$(dirname "$venv")"
    "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/python/requirements.txt"
    digest "$here/python/requirements.txt" >"$venv/.peers-done"
    say "done"
fi

if is_done "$here/node/node_modules/.peers-done" "$here/node/package-lock.json"; then
    say "Node modules are ready: $here/node/node_modules"
else
    say "installing the Node modules into $here/node/node_modules"
    (cd "$here/node" && npm ci --no-audit --no-fund --loglevel=error)
    digest "$here/node/package-lock.json" >"$here/node/node_modules/.peers-done"
    say "done"
fi
