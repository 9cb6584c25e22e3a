#!/usr/bin/env bash
# Writes uv.lock and constraints.txt anew from pyproject.toml. Arguments go to `uv lock`:
#
#     bash launch/lock.sh [--upgrade]
#
# Needs uv and the network. Run the tests afterwards: the versions are those that they passed with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Neither an index of this machine nor one of its proxies is to be written down.
uv lock --no-config --default-index https://pypi.org/simple "$@"
{
    echo "# Exact versions that the tests run with: pip install -c constraints.txt -e '.[mesh]'"
    echo "# Written by launch/lock.sh; the same as in uv.lock."
    uv export --no-config --frozen --all-extras --no-emit-project --no-hashes --no-annotate \
        --no-header |
        sed -E "s/python_full_version < '3.14' and //" |
        sed -E "s/ ; \\(?sys_platform == 'darwin' or sys_platform == 'linux'\\)?\$//"
} >constraints.txt
