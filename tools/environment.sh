#!/bin/sh
# Make the virtual environment $1 with the first Python that is 3.11 or newer.
#
# PYTHON names the interpreter to use instead.  Debian and Ubuntu ship Python without the
# parts a virtual environment needs (package python3-venv): they are installed here when
# that is allowed, else one sentence says what to do.
set -eu

venv=$1

fail() {
    echo "parvis: $*" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        if is_new_enough "$candidate"; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "no Python 3.11 or newer was found${PYTHON:+ as $PYTHON}; install one, or name it: make PYTHON=/path/to/python3"
}

install_packages() {
    command -v apt-get >/dev/null || fail "this Python lacks venv; install it, then run make again"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        fail "a package is missing; run: sudo apt-get install $*"
    fi
    echo "installing $* ..."
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

if "$venv/bin/python" -m pip --version >/dev/null 2>&1 && is_new_enough "$venv/bin/python"; then
    exit 0
fi

python=$(find_python)
if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    # Debian names the package after the version; python3-venv is the default version's.
    install_packages "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
fi
echo "making $venv with $python ..."
"$python" -m venv --clear "$venv"
