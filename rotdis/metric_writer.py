"""Keeps what a run says of itself: the train stage writes here, TensorBoard and report read it."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8
from tensorboardX import SummaryWriter

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
    that step is dropped: rows of the JSON lines are, in one atomic replacement; TensorBoard is told
    to forget its events. Not safe for two processes at once; let only process 0 be enabled.
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
        self._events: SummaryWriter | None = None
        if not enabled:
            return
        self._mirror = mirror
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / _SCALARS
        _drop_rows_after(path, step)
        self._rows = path.open("a", encoding="utf-8")
        folder = workdir / _EVENTS
        known = len(list(folder.glob("*tfevents*")))
        self._events = SummaryWriter(
            str(folder),
            purge_step=step + 1 if known else None,
            # Files are named by the second, read by name: none may overwrite or precede another.
            filename_suffix=f".{known:04d}",
        )

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Writes the values that go with a step; a name such as "train/loss" groups by its stem."""
        if self._events is None:
            return
        values = {name: float(value) for name, value in scalars.items()}
        for name, value in values.items():
            self._events.add_scalar(name, value, step)
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
            self._events.add_image(name, np.asarray(image), step, dataformats="HWC")
        if self._mirror is not None:
            self._mirror.write_images(int(step), images)

    def flush(self) -> None:
        """Makes sure that readers see all that was written."""
        if self._events is not None:
            self._rows.flush()
            self._events.flush()

    def close(self) -> None:
        """Flushes and closes; afterwards, and a second time, methods do nothing."""
        if self._events is not None:
            self._rows.close()
            self._events.close()
            self._events = None
            if self._mirror is not None:
                self._mirror.close()


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
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "step" in row:
            rows.append(row)
    return rows


def _drop_rows_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    kept = [json.dumps(row) + "\n" for row in _rows(path) if row["step"] <= step]
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text("".join(kept), encoding="utf-8")
    os.replace(partial, path)
