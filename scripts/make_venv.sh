#!/bin/sh
# Makes .venv with the given python, or says what is missing and how to get it.
set -eu
python=${1:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: $python is not Python 3.11 or newer; name one that is: make PYTHON=python3.12 …" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian and its kin ship python3 without venv
    package="$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info.minor)')"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing $package"
        apt-get update -qq && apt-get install -qq --yes "$package" >/dev/null
    else
        echo "setup: $python has no venv; install it (Debian, Ubuntu: apt-get install $package)" >&2
        exit 1
    fi
fi
if [ ! -x .venv/bin/python ]; then
    "$python" -m venv .venv
fi
