#!/usr/bin/env bash
# Measures how fast rotating volumes, the training step, loading and inference are on this machine,
# and writes runs/benchmark.json. Arguments go to rotdis.benchmark:
#
#     bash launch/benchmark.sh [--only=rotation] [--config=configs/furniture.py]
#
# With --only=encoding, how long each way to find a pose takes, which is left out otherwise.
#
# Compares with PyTorch where it is installed in .venv. Without a .venv to make (a machine with JAX
# and no network): python -m rotdis.benchmark. Needs Python 3.11 to 3.13 ($PYTHON says which).
set -euo pipefail
source "$(dirname "$0")/environment.sh"

install benchmark test
exec "$venv_python" -m rotdis.benchmark "$@"
