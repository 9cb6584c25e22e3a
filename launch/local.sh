#!/usr/bin/env bash
# Trains on the generated furniture on this machine, evaluates, and writes the report. Run again it
# goes on where it stopped. Arguments go to rotdis:
#
#     [WORKDIR=runs/furniture] bash launch/local.sh [--config.train.steps=2000 ...]
#
# Needs Python 3.11 or later ($PYTHON says which) and, the first time, the network.
set -euo pipefail
started_in=$PWD
source "$(dirname "$0")/environment.sh"

workdir=${WORKDIR:-$PWD/runs/furniture}
[[ "$workdir" == /* ]] || workdir=$started_in/$workdir

install mesh test
"$venv_python" -m rotdis.main --config=configs/furniture.py --workdir="$workdir" "$@"
[[ ! -e "$workdir/report.html" ]] || echo "open in a browser: $workdir/report.html"
