#!/usr/bin/env bash
# Does to the program what the world does to it, at length - kills, full disks, damaged files - and
# prints a table of what came of it. Arguments go to pytest:
#
#     bash launch/faults.sh [-k NAME ...]
#
# Needs what `launch/test.sh` needs.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

install test
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.pytest_cache/jax}
export XLA_FLAGS="--xla_backend_optimization_level=1 ${XLA_FLAGS:-}"
export ROTDIS_LONG_RUN_MINUTES=${ROTDIS_LONG_RUN_MINUTES:-120}
export ROTDIS_FAULT_LOG=$PWD/runs/faults.jsonl
mkdir -p runs
: > "$ROTDIS_FAULT_LOG"
status=0
JAX_PLATFORMS=${JAX_PLATFORMS:-cpu} "$venv_python" -m pytest tests/faults -m "slow or not slow" \
    "$@" || status=$?
"$venv_python" tests/faults/print_table.py "$ROTDIS_FAULT_LOG"
exit "$status"
