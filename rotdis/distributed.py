"""Several processes that train one model together, by JAX's own runtime: who they are, what they
tell each other, and how they stop.

Every process runs the same program on its own devices; the training step is one program over all
of them. What happens once for a run - logging, evaluation, files - process 0 does. With a single
process every function here does what it says without asking anyone.
"""

import contextlib
import hashlib
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rotdis.errors import RotdisError, UsageError

T = TypeVar("T")

# Seconds until a process that says nothing any more counts as lost, and all others stop. On a CPU,
# and wherever else connections close with their process, it is noticed at once.
_HEARTBEAT = 60
_START = 300  # seconds in which all processes must have started
_GRACE = 5  # seconds in which the others can say what is wrong before process 0 takes them down


class DistributedError(RotdisError):
    """The processes of a run do not find each other, lost one, or are not of one run."""


def initialize(coordinator: str | None, processes: int, process_id: int | None) -> None:
    """Joins the other processes of the run; to be called before anything is computed.

    Args:
        coordinator: HOST:PORT at which process 0 can be reached by all.
        processes: how many there are: 1 for a process by itself, with nothing to join; 0 where a
            cluster that JAX knows (SLURM, Open MPI, Kubernetes, a TPU pod) says all three.
        process_id: which of them this is, from 0.

    Raises:
        UsageError: the arguments do not fit together.
        DistributedError: the cluster does not say, or the processes do not find each other.
    """
    if processes < 2:
        if coordinator is not None or process_id is not None:
            raise UsageError(
                "--coordinator and --process_id go with --processes=N, the number of processes"
            )
        if processes == 1:
            return
    elif coordinator is None or process_id is None:
        raise UsageError(
            f"--processes={processes}: say where process 0 listens (--coordinator=HOST:PORT) and "
            "which process this is (--process_id, from 0); or --processes=0 on a cluster"
        )
    elif not 0 <= process_id < processes:
        raise UsageError(
            f"--process_id: is {process_id}, but must be from 0 to {processes - 1}, "
            f"as --processes={processes}"
        )
    if coordinator is not None:
        _check_address(coordinator, process_id)
    where = f"--coordinator={coordinator}" if coordinator else "--processes=0"
    failed = f"{where}: the processes did not find each other ({{}}); start all of them, within "
    failed += f"{_START / 60:.0f} minutes, with the same address of process 0"
    # Its handler would take SIGTERM from ours, which serves Ctrl-C and a second signal as well.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with _impatient(failed.format("one of them is missing")):
            jax.distributed.initialize(
                coordinator,
                processes or None,
                process_id,
                initialization_timeout=_START + 60,
                heartbeat_timeout_seconds=_HEARTBEAT,
            )
    except (RuntimeError, ValueError) as error:
        raise DistributedError(failed.format(_reason(error))) from error


def _check_address(coordinator: str, process_id: int) -> None:
    """Raises for an address that JAX would abort the process for."""
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise UsageError(
            f"--coordinator: is {coordinator!r}, but must be HOST:PORT, the port from 1 to 65535"
        )
    try:
        if process_id == 0:
            socket.create_server(("", int(port))).close()
        else:
            socket.getaddrinfo(host.strip("[]"), int(port))
    except OSError as error:
        what = "cannot listen there" if process_id == 0 else "there is no such host"
        raise DistributedError(
            f"--coordinator={coordinator}: {what} ({error.strerror}); give all processes another"
        ) from error


@contextlib.contextmanager
def _impatient(message: str) -> Iterator[None]:
    """Ends this process with a message where the block takes longer than all may take to start.

    JAX would abort it then, with a trace of its own, and until then no signal reaches Python.
    """

    def leave() -> None:
        print(f"rotdis: {message}", file=sys.__stderr__, flush=True)
        os._exit(1)

    timer = threading.Timer(_START, leave)
    timer.daemon = True
    own = threading.current_thread() is threading.main_thread()
    before = {
        number: signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGTERM)
        if own
    }
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def is_alone() -> bool:
    """Returns whether there is no other process."""
    return not jax.distributed.is_initialized() or jax.process_count() == 1


def is_first() -> bool:
    """Returns whether this is process 0, which logs, evaluates and writes."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def silence_others() -> None:
    """From here on drops what Python code prints in other processes than the first.

    What they alone have to say, `leaving_on_errors` says nevertheless.
    """
    if not is_first():
        sys.stdout = sys.stderr = open(os.devnull, "w")


def on_first(work: Callable[[], T]) -> T:
    """Does something in process 0 alone, and returns its result in all, which wait for it.

    Args:
        work: returns something that JSON can hold.
    """
    if is_alone():
        return work()
    content = json.dumps(work()).encode() if is_first() else b""
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    content = np.frombuffer(content.ljust(length), np.uint8)
    return json.loads(multihost_utils.broadcast_one_to_all(content).tobytes())


def first_before_others(work: Callable[[], T]) -> T:
    """Does something in process 0, then in all others: what they share is then there already."""
    if not is_first():
        meet()
    result = work()
    if is_first():
        meet()
    return result


def meet() -> None:
    """Returns when every process is here."""
    if not is_alone():
        multihost_utils.process_allgather(np.zeros((), np.int32))


def agrees(content: bytes) -> bool:
    """Returns, in every process, whether all have the same content."""
    if is_alone():
        return True
    digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
    return bool((multihost_utils.process_allgather(digest) == digest).all())


class Votes:
    """What signal to stop came to any of the processes, known to all of them at the same step.

    A process alone knows at once. Several know one turn later: the turn's vote is summed up on the
    devices behind its steps and is read in the next turn, so that no device waits for the hosts.
    """

    def __init__(self) -> None:
        self._pending: jax.Array | None = None
        devices = ordered_devices()
        mesh = Mesh(np.array(devices), ("vote",), axis_types=(AxisType.Auto,))
        self._sharding = NamedSharding(mesh, PartitionSpec("vote"))
        self._largest = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))

    def __call__(self, number: int) -> int:
        """Votes for a signal's number, 0 for none; returns what all agree on, 0 for going on.

        Every process must call it equally often.
        """
        if is_alone():
            return number
        mine = np.full(jax.local_device_count(), number, np.int32)
        votes = jax.make_array_from_process_local_data(self._sharding, mine)
        previous, self._pending = self._pending, self._largest(votes)
        return 0 if previous is None else int(previous)


def ordered_devices() -> list[jax.Device]:
    """Returns all devices, those of a process side by side, in the order of the processes."""
    return sorted(jax.devices(), key=lambda device: (device.process_index, device.id))


@contextlib.contextmanager
def leaving_on_errors() -> Iterator[None]:
    """Ends this process at once, with a message, on an error that the others may not have.

    They would otherwise wait for it, and its own clean-up for them, for ever. It ends without any
    clean-up: nothing that involves another process can be relied on. The others then find their
    connection to it closed, or no longer hear from it, and stop as well. Errors that come to all at
    the same step (`RotdisError.everywhere`) are raised on, as is any in a process by itself.
    """
    try:
        yield
    except BaseException as error:
        if is_alone() or getattr(error, "everywhere", False):
            raise
        _leave(error)


def _leave(error: BaseException) -> None:
    status = 1
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else 1
    elif hasattr(error, "exit_status"):  # a message for people
        status = error.exit_status
        _tell(str(error))
    elif _is_loss(error):
        _tell(
            f"lost another process ({_reason(error)}); see what that one said. All stop; started "
            "again with the same command, they go on from the last checkpoint"
        )
    else:
        traceback.print_exception(error, file=sys.__stderr__)
        _tell("stopped by the error above, a defect; the other processes stop as well")
    if is_first() and hasattr(error, "exit_status"):
        # Perhaps all have the same to say, and the end of process 0 would keep them from it.
        time.sleep(_GRACE)
    sys.stdout.flush()
    os._exit(status)


def _tell(message: str) -> None:
    who = f"process {jax.process_index()} of {jax.process_count()}"
    print(f"rotdis: {who}: {message}", file=sys.__stderr__, flush=True)


def _is_loss(error: BaseException) -> bool:
    """Whether an error is the end of a connection to another process, as XLA reports it."""
    text = str(error)
    known = ("Gloo", "NCCL", "nccl", "coordination service", "CoordinationService", "by peer")
    return isinstance(error, RuntimeError | ValueError) and any(name in text for name in known)


def _reason(error: BaseException) -> str:
    return " ".join((str(error).strip().splitlines() or [type(error).__name__])[0].split())[:200]
