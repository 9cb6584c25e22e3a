"""Stops the training loop between two steps, when a signal asks for it."""

import signal

from rotdis.errors import RotdisError


class Interrupted(RotdisError):
    """Training was asked to stop by a signal; its state is saved.

    Attributes:
        exit_status: what a shell expects of a process that this signal ended.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_status = 128 + signal_number


class StopSignals:
    """Turns the first SIGINT or SIGTERM into a request; a second one acts at once."""

    requested = False
    number = 0

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name

    def __enter__(self) -> "StopSignals":
        self._previous = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        except ValueError:  # not the main thread, as in a notebook's worker: no handlers there
            pass
        return self

    def _request(self, number: int, frame) -> None:
        self.requested, self.number = True, number
        signal.signal(number, self._previous[number])

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
