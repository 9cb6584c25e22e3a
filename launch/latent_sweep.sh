#!/usr/bin/env bash
# The headline figure: reconstruction error over the latent size, for the mixture, the search, and
# the plain VAE on rotated and on aligned objects. Run again it goes on where it stopped; runs that
# were finished with the same arguments are not repeated. Arguments go to rotdis:
#
#     [WORKDIR=runs/latent_sweep] [SEEDS="0 1"] [CELLS="none,vae,16,0 so3,mixture,16,0"] \
#         bash launch/latent_sweep.sh [--config.data.source=PATH ...]
#
# A relative PATH is one from the top of this checkout. CELLS are all, of each of the SEEDS.
# Each cell is a run of its own in WORKDIR/CELL: 34 minutes for a plain VAE and 44 for the mixture on
# two slow cores, some 13 hours for those of one seed; on a GPU minutes. The search's, which come
# last, need one: it tries 24 or 32 rotations of every view in every step, and descends.
# Needs Python 3.11 to 3.13 ($PYTHON says which) and, the first time, the network.
set -euo pipefail
started_in=$PWD
source "$(dirname "$0")/environment.sh"

workdir=${WORKDIR:-$PWD/runs/latent_sweep}
[[ "$workdir" == /* ]] || workdir=$started_in/$workdir

# The cheap ones first, and of the sizes the one that is compared first.
all_cells() {
    local seed method rotations size
    for seed in ${SEEDS:-0}; do
        for size in 16 32 8 4; do
            echo "none,vae,$size,$seed"
        done
        for method in vae mixture search; do
            for rotations in so3 cube; do
                for size in 16 32 8 4; do
                    echo "$rotations,$method,$size,$seed"
                done
            done
        done
    done
}

install mesh test
for cell in ${CELLS:-$(all_cells)}; do
    # With other arguments a finished run is the program's to go on with, or to refuse.
    finished=$workdir/$cell/.finished_with
    [[ -e "$finished" && "$(cat "$finished")" == "$*" ]] && continue
    rm -f "$finished"
    "$venv_python" -m rotdis.main --config="configs/latent_sweep.py:$cell" \
        --workdir="$workdir/$cell" "$@"
    printf '%s' "$*" >"$finished"
done
"$venv_python" -m rotdis.sweep "$workdir"
