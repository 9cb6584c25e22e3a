"""Keeps what a run says of itself: the train stage writes here, TensorBoard and report read it."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8

from rotdis import atomic
from rotdis.event_file import EventFile

_SCALARS = "metrics.jsonl"
_EVENTS = "tensorboard"


class Mirror(Protocol):
    """Somewhere else where all that is written is to appear, such as `wandb_log.WandbLog`."""

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None: ...

    def write_images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None: ...

    def close(self) -> None: ...


class MetricWriter:
    """Writes scalars and pictures to `W/tensorboard`, and scalars to `W/metrics.jsonl` as well.

    A run that goes on from an earlier step writes the later ones again, so what was written past
    that step is dropped, each file in one atomic replacement. Not safe for two processes at once;
    let only process 0 be enabled. Everything raises OSError where the disk is full.
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        step: int = 0,
        enabled: bool = True,
        mirror: Mirror | None = None,
    ):
        """Opens the writer.

        Args:
            workdir: the run's folder; made where missing.
            step: the step at which the run stands, 0 for a new one.
            enabled: whether to write at all; if not, every method does nothing.
            mirror: gets the same scalars and pictures, and is closed with this.
        """
        self._events: EventFile | None = None
        if not enabled:
            return
        self._mirror = mirror
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / _SCALARS
        _drop_rows_after(path, step)
        self._rows = path.open("a", encoding="utf-8")
        self._events = EventFile(workdir / _EVENTS, step)

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes the values that go with a step; a name such as "train/loss" groups by its stem."""
        if self._events is None:
            return
        values = {name: float(value) for name, value in scalars.items()}
        for name, value in values.items():
            self._events.write_scalar(step, name, value)
        # JSON has no NaN and no infinity.
        row = {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._rows.write(json.dumps({"step": int(step), **row}) + "\n")
        if self._mirror is not None:
            self._mirror.write_scalars(int(step), values)

    def write_images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        """Writes pictures, by name."""
        if self._events is None:
            return
        for name, image in images.items():
            self._events.write_image(step, name, np.asarray(image))
        if self._mirror is not None:
            self._mirror.write_images(int(step), images)

    def flush(self) -> None:
        """Returns when all that was written is on disk."""
        if self._events is not None:
            self._rows.flush()
            os.fsync(self._rows.fileno())
            self._events.flush()

    def close(self) -> None:
        """Flushes and closes; afterwards, and a second time, methods do nothing."""
        events, self._events = self._events, None
        if events is not None:
            with contextlib.ExitStack() as each:  # every one, even where another fails
                if self._mirror is not None:
                    each.callback(self._mirror.close)
                each.callback(events.close)
                each.callback(self._rows.close)


def read_scalars(
    workdir: str | Path,
) -> dict[str, tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]]:
    """Returns a run's scalars so far: name -> (steps, values), NaN where one was not finite.

    Empty where the run has written none.
    """
    series: dict[str, tuple[list[int], list[float]]] = {}
    for row in _rows(Path(workdir) / _SCALARS):
        step = row.pop("step")
        for name, value in row.items():
            steps, values = series.setdefault(name, ([], []))
            steps.append(step)
            values.append(math.nan if value is None else value)
    return {name: (np.array(steps), np.array(values)) for name, (steps, values) in series.items()}


def _rows(path: Path) -> list[dict[str, float | None]]:
    """Returns the rows of a file; a line cut short by a kill is no row."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows


def _drop_rows_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = [json.dumps(row) + "\n" for row in _rows(path) if row["step"] <= step]
    atomic.write(path, "".join(kept).encode())
