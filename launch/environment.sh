# Sourced by the scripts beside it: makes or reuses .venv at the checkout's root.
#
#     install EXTRAS [EXTRAS_THAT_DO_AS_WELL ...]
#
# installs the project with these extras, editable, at the versions of constraints.txt, unless that
# was done with this pyproject.toml and these versions.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv_python=.venv/bin/python

# Prints a Python from 3.11 to 3.13 (TensorFlow has no wheels for later ones). It is run, not only found: a version manager's stub may fail.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3.12 python3.11 python3.13 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
        if [[ -n "${PYTHON:-}" ]]; then
            echo "PYTHON=$PYTHON is no Python from 3.11 to 3.13" >&2
            return 1
        fi
    done
    echo "no Python from 3.11 to 3.13 found: install one, or name it: PYTHON=/path/to/python $0" >&2
    return 1
}

fingerprint() {
    "$venv_python" - <<'PYTHON'
import hashlib, pathlib, sys
content = b"".join(pathlib.Path(name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
print(hashlib.sha256(content).hexdigest(), sys.version_info[:2])
PYTHON
}

install() {
    local extras python
    # One that uv made has no pip, and is kept.
    if ! "$venv_python" -m pip --version >/dev/null 2>&1 &&
        ! "$venv_python" -m ensurepip >/dev/null 2>&1; then
        python=$(find_python)
        echo "making .venv with $("$python" --version)"
        "$python" -m venv --clear .venv
    fi
    for extras in "$@"; do
        if [[ "$(cat ".venv/.rotdis-$extras" 2>/dev/null)" == "$(fingerprint)" ]]; then
            return
        fi
    done
    echo "installing rotdis[$1] into .venv, which takes some minutes the first time"
    "$venv_python" -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt --editable ".[$1]"
    fingerprint >".venv/.rotdis-$1"
}
