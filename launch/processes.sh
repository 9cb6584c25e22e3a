# Sourced by local.sh: several processes on this machine that train one model together.
#
#     together N COMMAND ...
#
# starts COMMAND N times, each told which process it is, and returns when all have ended, with the
# status of the first of them that failed. When one ends early, the others stop by themselves.

together() {
    local count=$1 port process pid ended status=0 stopped=0 pids=()
    shift
    port=$("${venv_python:-python3}" -c '
import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])')
    trap stopped=1 TERM # until all have begun: one that has just may not be known yet
    trap : INT # the terminal's Ctrl-C reaches them by itself, once they have begun; one more cuts it short
    for ((process = 0; process < count; process++)); do
        # Where there are GPUs, each process takes one.
        JAX_LOCAL_DEVICE_IDS=$process "$@" --processes="$count" \
            --coordinator="127.0.0.1:$port" --process_id="$process" &
        pids+=($!)
    done
    trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' TERM
    if ((stopped)); then kill -TERM "${pids[@]}" 2>/dev/null || true; fi
    for pid in "${pids[@]}"; do
        while ended=0 && { wait "$pid" || ended=$?; } && kill -0 "$pid" 2>/dev/null; do
            : # a signal ended the waiting, not the process
        done
        ((status)) || status=$ended
    done
    trap - INT TERM
    return "$status"
}
