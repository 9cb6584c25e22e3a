"""Worker processes for `prepare` and for folders of meshes: none outlives what it works for."""

import contextlib
import ctypes
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from rotdis import interrupt
from rotdis.errors import DataError

_stopping = None  # in a worker: shared memory that is not 0 once the parent wants no more of it


@contextlib.contextmanager
def started(workers: int, task: str, advice: str = "") -> Iterator[Callable[..., Future]]:
    """Starts processes that call functions; leaving the block stops them.

    Args:
        workers: processes.
        task: what they do, for the message: "reads meshes".
        advice: what to do where one was killed; ends the message.

    Yields:
        `submit(function, *arguments)`, which returns a future. The function is one of a module, as
        processes import it; a long one asks `stopping` now and then.

    Raises:
        DataError: inside the block a result was asked for, but a process was killed.
    """
    # Spawned, not forked: a fork of a process whose libraries run threads may hang.
    context = multiprocessing.get_context("spawn")
    stop = context.RawValue("b", 0)
    with ProcessPoolExecutor(workers, context, _begin, (stop,)) as pool:

        def submit(function: Callable, *arguments: object) -> Future:
            with interrupt.blocked_in_new_processes():
                return pool.submit(function, *arguments)

        try:
            yield submit
        except BrokenProcessPool as error:
            raise DataError(
                f"a process that {task} was killed, perhaps for want of memory (or the calling "
                f"script lacks `if __name__ == '__main__':`){advice}"
            ) from error
        finally:
            # If stopped, each worker ends after what it has in hand. A killed one might have
            # written half of a result, for whose rest the pool would wait for ever.
            stop.value = 1
            pool.shutdown(cancel_futures=True)


def stopping() -> bool:
    """Returns whether this process is a worker whose results nobody reads any more."""
    return _stopping is not None and bool(_stopping.value)


def _begin(stop: ctypes.c_byte) -> None:
    """Lets the parent stop this worker, and ends it when that is killed: it would wait for ever."""
    global _stopping
    _stopping = stop

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
