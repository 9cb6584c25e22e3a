"""Tells whoever waits how far a stage is: train and prepare report their steps here."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import TextIO

from tqdm import tqdm

_SHOWN = 4  # metrics that fit on a line beside the bar


class Progress:
    """A bar with the remaining time and metrics on a terminal, a plain line now and then elsewhere.

    Use it as a context manager, so that the bar is closed whatever happens.
    """

    def __init__(
        self,
        total: int,
        *,
        initial: int = 0,
        label: str = "train",
        unit: str = "step",
        interval: float = 10.0,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Begins.

        Args:
            total: number of units at the end.
            initial: number of them that an earlier run did; they are left out of the speed.
            label: what is being done.
            unit: what is counted.
            interval: at least so many seconds lie between two plain lines.
            file: where to write; standard error by default.
            clock: seconds, for plain lines.
        """
        self._file = sys.stderr if file is None else file
        self._total, self._label, self._unit = total, label, unit
        self._interval, self._clock = interval, clock
        self._done, self._bar = initial, None
        self._began: tuple[int, float] | None = None  # first update: what is before is compilation
        self._last_line = -float("inf")
        self._metrics: Mapping[str, float] = {}
        self._told = initial
        if self._file.isatty():
            self._bar = tqdm(
                total=total,
                initial=initial,
                desc=label,
                unit=unit,
                file=self._file,
                dynamic_ncols=True,
                leave=True,
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def update(self, done: int, metrics: Mapping[str, float] | None = None) -> None:
        """Says that `done` units are done, and what the newest metrics are; the first few show."""
        done, previous = int(done), self._done
        self._done = done
        if metrics is not None:
            self._metrics = metrics
        if self._bar is not None:
            self._bar.set_postfix_str(_describe(self._metrics), refresh=False)
            self._bar.update(done - previous)
            return
        now = self._clock()
        if self._began is None:
            self._began = (done, now)
        if now - self._last_line >= self._interval or done >= self._total:
            self._line(now)

    def write(self, message: str) -> None:
        """Writes a line without breaking the bar."""
        if self._bar is not None:
            self._bar.write(message, file=self._file)
        else:
            print(message, file=self._file, flush=True)

    def close(self) -> None:
        """Ends the bar, or says a last line where the last state was not yet told."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        elif self._done != self._told:
            self._line(self._clock())

    def _line(self, now: float) -> None:
        self._last_line, self._told = now, self._done
        share = f"{self._done / self._total:4.0%}" if self._total else "100%"
        line = f"{self._label} {self._done}/{self._total} {self._unit}s {share}"
        began, since = self._began or (self._done, now)
        if self._done > began and self._done < self._total:
            left = (now - since) / (self._done - began) * (self._total - self._done)
            line += f", {tqdm.format_interval(left)} left"
        metrics = _describe(self._metrics)
        print(f"{line}  {metrics}".rstrip(), file=self._file, flush=True)


def _describe(metrics: Mapping[str, float]) -> str:
    """Returns the first metrics, each by the last part of its name: `loss 41.2, iou 0.512`."""
    shown = list(metrics.items())[:_SHOWN]
    return ", ".join(f"{name.rsplit('/', 1)[-1]} {float(value):.4g}" for name, value in shown)
