#!/usr/bin/env bash
#SBATCH --job-name=rotdis
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=TERM@180
# Trains one model on the nodes of a SLURM job. Submit it from the checkout, with one task for every
# GPU; what stands behind the script's name goes to rotdis:
#
#     sbatch --nodes=2 --gpus-per-node=8 --ntasks-per-node=8 --cpus-per-task=8 --time=24:00:00 \
#         launch/slurm.sh --config=configs/modelnet.py --workdir=/shared/runs/modelnet10 \
#         --config.train.batch_size=384
#
# The workdir and --config.data.dir must be on a file system that all nodes share. Preempted, or
# three minutes before its time is over, the job saves by all its processes together, is put back
# into the queue, and goes on from there. The first job makes .venv, for which its first node needs
# Python 3.11 to 3.13 ($PYTHON says which) and the network; EXTRAS=mesh makes one without CUDA.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}" # the script itself is run from a copy elsewhere
source launch/environment.sh
install "${EXTRAS:-mesh,cuda}"

status=0
srun --kill-on-bad-exit=1 "$venv_python" -m rotdis.main --processes=0 "$@" || status=$?
# 143: SIGTERM came and the state is saved. What preempts a job requeues it by itself, too.
if ((status == 143)); then
    scontrol requeue "$SLURM_JOB_ID" || true
fi
exit "$status"
