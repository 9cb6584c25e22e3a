#!/usr/bin/env bash
# Trains on the generated furniture on this machine, evaluates, and writes the report. Run again it
# goes on where it stopped. Arguments go to rotdis, which runs in the checkout (give paths as absolute
# ones):
#
#     [WORKDIR=runs/furniture] bash launch/local.sh [--processes=N] [--config.train.steps=2000 ...]
#
# One process drives all GPUs of a machine. --processes=N starts N of them, which train one model
# together as they would on N machines: a rehearsal for launch/slurm.sh and launch/tpu.sh.
# Needs Python 3.11 to 3.13 ($PYTHON says which) and, the first time, the network.
set -euo pipefail
started_in=$PWD
source "$(dirname "$0")/environment.sh"
source launch/processes.sh

workdir=${WORKDIR:-$PWD/runs/furniture}
[[ "$workdir" == /* ]] || workdir=$started_in/$workdir

processes=1 arguments=()
for argument in "$@"; do
    case $argument in
        --processes=*) processes=${argument#*=} ;;
        --workdir | --workdir=*)
            echo "--workdir: say it by WORKDIR=FOLDER bash launch/local.sh" >&2
            exit 2
            ;;
        *) arguments+=("$argument") ;;
    esac
done
if [[ ! "$processes" =~ ^[1-9][0-9]*$ ]]; then
    echo "--processes: is '$processes', but must be a number from 1" >&2
    exit 2
fi

install mesh test
train=("$venv_python" -m rotdis.main --config=configs/furniture.py --workdir="$workdir")
train+=(${arguments[@]+"${arguments[@]}"})
if ((processes == 1)); then
    "${train[@]}"
else
    together "$processes" "${train[@]}"
fi
[[ ! -e "$workdir/report.html" ]] || echo "open in a browser: $workdir/report.html"
