# shellcheck shell=bash
# valgrind, which counts instructions; sourced.

# ensure_valgrind: installs it where it is missing and may be installed. Returns non-zero, with the reason on standard
# error, where there is none to be had.
ensure_valgrind() {
    command -v valgrind >/dev/null && return 0
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        sudo=(sudo -n)
    fi
    if ! command -v apt-get >/dev/null; then
        echo "valgrind: not installed, and there is no apt-get to install it with" >&2
        return 1
    fi
    echo "valgrind: installing it with apt-get" >&2
    "${sudo[@]}" apt-get install --yes --quiet --no-install-recommends valgrind >&2 ||
        { "${sudo[@]}" apt-get update --quiet >&2 &&
            "${sudo[@]}" apt-get install --yes --quiet --no-install-recommends valgrind >&2; } || return 1
    command -v valgrind >/dev/null
}
