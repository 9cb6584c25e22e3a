#!/usr/bin/env bash
# Trains one model on a TPU slice of one or many hosts: makes the slice where there is none of that
# name, brings this commit of the checkout to every host, and runs it there. Arguments go to rotdis:
#
#     TPU=NAME ZONE=us-west4-a [TYPE=v5litepod-16] [VERSION=v2-alpha-tpuv5-lite] [SPOT=1] \
#     [PROJECT=...] [MOUNT="10.0.0.2:/share /mnt/share"] bash launch/tpu.sh \
#         --config=configs/modelnet.py --workdir=/mnt/share/runs/modelnet10 \
#         --config.data.dir=/mnt/share/data --config.train.batch_size=256
#
# The workdir must be on a file system that all hosts share; MOUNT has each of them mount one by NFS
# (such as a Filestore instance). A spot slice that is preempted is made anew, and the run goes on
# from its last checkpoint. The slice is kept at the end, and costs money until it is deleted: the
# last line says how. Needs gcloud, logged in; DRY_RUN=1 prints its commands instead.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${TPU:?say which TPU slice, or how a new one is to be called: TPU=NAME}"
: "${ZONE:?say in which zone it is, or shall be: ZONE=us-west4-a}"
place=(--zone="$ZONE" ${PROJECT:+--project="$PROJECT"})

tpu() {
    if [[ -n "${DRY_RUN:-}" ]]; then
        printf '%q ' gcloud compute tpus tpu-vm "$@" "${place[@]}"
        echo
    else
        gcloud compute tpus tpu-vm "$@" "${place[@]}"
    fi
}

# Prints READY, PREEMPTED, ...; nothing where there is no such slice.
state() {
    [[ -n "${DRY_RUN:-}" ]] ||
        gcloud compute tpus tpu-vm describe "$TPU" "${place[@]}" --format='value(state)' \
            2>/dev/null || true
}

make() {
    case $(state) in
        READY) return ;;
        PREEMPTED | TERMINATED | STOPPED) tpu delete "$TPU" --quiet ;;
    esac
    tpu create "$TPU" --accelerator-type="${TYPE:-v5litepod-16}" \
        --version="${VERSION:-v2-alpha-tpuv5-lite}" ${SPOT:+--spot}
}

on_all() {
    tpu ssh "$TPU" --worker=all --command="$1"
}

# A slice may be preempted here as well, so each step says whether it failed.
bring() {
    local archive
    archive=$(mktemp -d)/rotdis.tar.gz
    git archive --format=tar.gz --output="$archive" HEAD || return
    tpu scp "$archive" "$TPU:rotdis.tar.gz" --worker=all || return
    rm -r "$(dirname "$archive")"
    if [[ -n "${MOUNT:-}" ]]; then
        on_all "mountpoint -q ${MOUNT##* } || { sudo apt-get -qq install -y nfs-common &&
            sudo mkdir -p ${MOUNT##* } && sudo mount -t nfs $MOUNT; }" || return
    fi
    # The images of some TPUs have an older Python only.
    on_all "{ python3.12 -m ensurepip --version || python3.11 -m ensurepip --version; } \
        >/dev/null 2>&1 || { sudo apt-get -qq update && sudo apt-get -qq install -y python3.11-venv; }
        mkdir -p rotdis && tar -xzf rotdis.tar.gz -C rotdis && cd rotdis &&
        source launch/environment.sh && install mesh,tpu"
}

train="cd rotdis && .venv/bin/python -m rotdis.main --processes=0$(printf ' %q' "$@")"
trap 'echo "to delete the slice: gcloud compute tpus tpu-vm delete $TPU ${place[*]}"' EXIT
while true; do
    make
    status=0
    { bring && on_all "$train"; } || status=$?
    # Whatever ended it: while the slice is there, the message above says what is wrong.
    if ((status == 0)) || [[ "$(state)" == READY || -n "${DRY_RUN:-}" ]]; then
        break
    fi
    echo "the slice is $(state): making it anew, the run goes on from its last checkpoint" >&2
done
exit "$status"
