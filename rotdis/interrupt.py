"""SIGINT (Ctrl-C) and SIGTERM: served between two steps of training, and at once elsewhere."""

import contextlib
import os
import signal
from collections.abc import Iterator

from rotdis.errors import RotdisError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(RotdisError):
    """Training was asked to stop by a signal; its state is saved.

    Attributes:
        exit_status: what a shell expects of a process that this signal ended.
    """

    everywhere = True

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_status = 128 + signal_number


class Stopped(KeyboardInterrupt):
    """A signal came where nothing waits for one; as Ctrl-C always was, it is no `Exception`.

    Attributes:
        number: of the signal.
        exit_status: what a shell expects of a process that this signal ended.
    """

    def __init__(self, number: int):
        super().__init__()
        self.number, self.exit_status = number, 128 + number

    def __str__(self) -> str:
        return (
            f"stopped by {signal.Signals(self.number).name}; what is prepared or saved is kept: of "
            "data and training the same command goes on from there, all else it starts anew"
        )


def raise_stopped_on_signals() -> None:
    """Makes both signals raise `Stopped`; called once, by the command line."""
    for number in _SIGNALS:
        signal.signal(number, _raise_stopped)


def _raise_stopped(number: int, frame) -> None:
    raise Stopped(number)


@contextlib.contextmanager
def blocked_in_new_processes() -> Iterator[None]:
    """Keeps Ctrl-C, which reaches every process of a terminal, from those that are started inside.

    They would show tracebacks, and one that ends while it writes a result leaves its pool waiting
    for the rest. They inherit that it is blocked.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class StopSignals:
    """Turns the first SIGINT or SIGTERM into a request; a second one acts at once."""

    number = 0  # of the signal that came

    def __enter__(self) -> "StopSignals":
        self._previous = {}
        try:
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._request)
        except ValueError:  # not the main thread, as in a notebook's worker: no handlers there
            pass
        return self

    def _request(self, number: int, frame) -> None:
        self.number = number
        signal.signal(number, self._previous[number])
        # Not print: the signal may have come in the middle of one.
        os.write(2, b"\nstopping after this step (once more: at once, unsaved)\n")

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
