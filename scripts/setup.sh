#!/bin/sh
# Makes .venv from the hashed locks; does nothing when nothing changed.
#   scripts/setup.sh [demo]     demo: with the model of `make demo` too (hundreds of MB)
#   PYTHON=/path/to/python      use this interpreter
set -eu
cd "$(dirname "$0")/.."
venv=$(pwd -P)/.venv
python=$venv/bin/python

say() { echo "setup: $*" >&2; }

# Run, not looked up: a pyenv shim is on PATH also for versions that it cannot start.
fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 &&
        "$1" -c 'import ensurepip, sqlite3, ssl, venv' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" && echo "$PYTHON"
        return
    fi
    versions=${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}/versions
    for candidate in python3.13 python3.12 python3 python \
        "$versions"/3.13*/bin/python "$versions"/3.12*/bin/python; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    if command -v uv >/dev/null 2>&1; then
        say "no Python 3.12 or newer here, asking uv for one"
        uv python install 3.13 >&2 && uv python find 3.13
        return
    fi
    return 1
}

refuse() {
    asked=${PYTHON:-python3}
    found="$asked is not there"
    if command -v "$asked" >/dev/null 2>&1; then
        found="$asked says: $("$asked" --version 2>&1 | head -n 1)"
    fi
    say "Switchyard needs Python 3.12 or newer with its venv, ssl and sqlite3 modules; $found"
    say "install one (pyenv install 3.13, or uv python install 3.13, or your system's python3.13 and python3.13-venv)," \
        "or say where it is: make setup PYTHON=/path/to/python3.13"
    exit 1
}

# A copied or moved checkout has scripts that point to the old place.
healthy() {
    fits "$python" && [ -f "$venv/bin/pip" ] && head -n 3 "$venv/bin/pip" | grep -qF "$venv/"
}

make_venv() {
    found=$(find_python) && fits "$found" || refuse
    say "making .venv with $("$found" --version 2>&1)"
    rm -rf "$venv"
    "$found" -m venv "$venv"
}

choose_uv_cache() {
    cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/uv}
    if ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
        cache=$venv/cache
    fi
    export UV_CACHE_DIR="$cache"
}

install_locked() {
    say "installing the locked requirements"
    choose_uv_cache
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-uv.txt || true
    # Where Python must not write bytecode, nobody else does, and each start would compile all that it imports.
    compile=${PYTHONDONTWRITEBYTECODE:+--compile-bytecode}
    # shellcheck disable=SC2046,SC2086
    if "$venv/bin/uv" pip sync --quiet $compile --python "$python" --require-hashes $(locks); then
        return
    fi
    say "uv could not, trying pip"
    # shellcheck disable=SC2046
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
        $(for lock in $(locks); do echo "-r $lock"; done)
}

locks() {
    echo requirements.txt requirements-dev.txt requirements-uv.txt
    [ ! -f "$venv/with-demo" ] || echo requirements-demo.txt
}

healthy || make_venv
[ "${1:-}" != demo ] || : >"$venv/with-demo"
# shellcheck disable=SC2046
wanted=$(cat $(locks) | cksum)
if [ "$wanted" != "$(cat "$venv/installed" 2>/dev/null)" ]; then
    rm -f "$venv/installed"
    install_locked
    echo "$wanted" >"$venv/installed"
fi
