#!/usr/bin/env bash
# Checks the project from a bare checkout: style, then all tests but the slow ones. Arguments go to pytest:
#
#     bash launch/test.sh [-k NAME ...]
#     bash launch/test.sh -m slow --timeout=0     # hours
#
# Needs Python 3.11 to 3.13 ($PYTHON says which) and, the first time, the network.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

install test
"$venv_python" -m ruff check .
"$venv_python" -m ruff format --check .
# Many tests compile the same programs, small ones too.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$PWD/.pytest_cache/jax}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=${JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS:-0}
# Compiling takes most of the time: the code of the CPU's programs may be slower, and two workers
# keep two cores busy as it is. The last two flags are of the XLA that constraints.txt names; an
# unknown one would end every test.
export XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1 \
    --xla_cpu_use_fusion_emitters=false ${XLA_FLAGS:-}"
# On the CPU: two workers would take a GPU's memory from each other.
# A test that hangs fails by name.
JAX_PLATFORMS=${JAX_PLATFORMS:-cpu} exec "$venv_python" -m pytest -n 2 --dist loadfile \
    --no-loadscope-reorder --timeout=900 --durations=15 "$@"
