"""Collects the runs of `configs/latent_sweep.py` into a table and a plot.

python -m rotdis.sweep runs/latent_sweep

reads every finished run (a folder with metrics.json, named after its cell), times how long its
model takes to encode an object, and writes sweep.csv and sweep.png beside the runs.
"""

import argparse
import csv
import functools
import io
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from rotdis import atomic, inference, metric_writer, run_folder
from rotdis.benchmark import timing
from rotdis.errors import RotdisError

_ENCODED = 32  # objects that are encoded to time it
_REPETITIONS = 5
_STYLES = {
    "aligned VAE": ("#444a56", ":"),
    "rotated VAE": ("#b0453a", "--"),
    "search": ("#e08a1e", "-"),
    "mixture": ("#3b6ea8", "-"),
}
_TITLES = {"cube": "rotations by 90 degrees", "so3": "all rotations", "none": "aligned"}


@dataclass
class Row:
    """A finished run.

    Attributes:
        rotations: how objects are turned, "so3", "cube" or "none".
        method: "mixture", "search", "rotated VAE" or "aligned VAE".
        latent_size: L.
        seed: of the run.
        sse: squared error summed over an object's voxels, mean over the test split.
        sse_turned: of the aligned VAE, where objects and reconstructions are both turned at random,
            which blurs both (`rotdis.thorough`); NaN of others, and where it was not measured.
        gap_closed: (SSE of the rotated VAE - SSE) / (SSE of the rotated - SSE of the aligned VAE)
            with the same latent size and seed, the aligned VAE's measured on objects turned as the
            others' are; NaN where one of them is missing, or the aligned VAE is no better than the
            rotated one, so that there is no gap.
        iou: of the reconstruction.
        nn1_accuracy: 1-nearest-neighbour accuracy of the code.
        linear_probe_accuracy: of a linear classifier on the code.
        pair_median_deg: of the relative rotation of two views, degrees. (Plain VAEs infer none, the
            identity: of turned objects theirs is that of chance.)
        pair_acc30: the share of pairs of views whose error is below 30 degrees.
        seconds_per_step: median over the run.
        seconds_per_object: to encode one of a batch of 32, measured here.
        encoding_ratio: that over the median of the sweep's plain VAEs; NaN where there is none.
    """

    rotations: str
    method: str
    latent_size: int
    seed: int
    sse: float
    sse_turned: float
    gap_closed: float
    iou: float
    nn1_accuracy: float
    linear_probe_accuracy: float
    pair_median_deg: float
    pair_acc30: float
    seconds_per_step: float
    seconds_per_object: float
    encoding_ratio: float = np.nan


def collect(folder: str | Path) -> list[Row]:
    """Reads the finished runs of a sweep.

    Raises:
        RotdisError: there is none.
    """
    runs = sorted(path.parent for path in Path(folder).glob("*/metrics.json"))
    if not runs:
        raise RotdisError(f"{folder}: no finished run; make them by launch/latent_sweep.sh")
    rows = []
    for run in runs:
        try:
            rows.append(_row(run))
        except (KeyError, TypeError, ValueError) as error:
            raise RotdisError(
                f"{run}: lacks what a finished run has ({error}); train it on, or move it away"
            ) from error
    for row, seconds in zip(rows, _seconds_per_object(runs), strict=True):
        row.seconds_per_object = seconds
    _fill_in_gaps(rows)
    _fill_in_encoding_ratios(rows)
    return sorted(rows, key=lambda row: (row.rotations, row.latent_size, row.method, row.seed))


def _row(run: Path) -> Row:
    config = run_folder.load_config(run)
    if not run_folder.is_finished(run):
        raise ValueError(f"all of its {config.train.steps} steps")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    rotations, method = config.data.rotations, config.pose.method
    if method == "none":
        method = "aligned VAE" if rotations == "none" else "rotated VAE"
    _, speed = metric_writer.read_scalars(run)["speed/views_per_second"]
    return Row(
        rotations=rotations,
        method=method,
        latent_size=config.model.latent_size,
        seed=config.seed,
        sse=metrics["reconstruction/sse"],
        sse_turned=metrics.get("reconstruction/sse_turned", np.nan),
        gap_closed=np.nan,
        iou=metrics["reconstruction/iou"],
        nn1_accuracy=metrics["latent/nn1_accuracy"],
        linear_probe_accuracy=metrics["latent/linear_probe_accuracy"],
        pair_median_deg=metrics["pose/pair_median_deg"],
        pair_acc30=metrics["pose/pair_acc30"],
        seconds_per_step=float(2 * config.train.batch_size / np.median(speed)),
        seconds_per_object=np.nan,
    )


def _seconds_per_object(runs: list[Path]) -> list[float]:
    models = [inference.load_run(run) for run in runs]
    for run, model in zip(runs, models, strict=True):
        if model.resolution != models[0].resolution:
            raise RotdisError(
                f"{run}: is of {model.resolution}^3 voxels, {runs[0].name} of "
                f"{models[0].resolution}^3; runs of a sweep have one resolution: move it away"
            )
    objects = np.random.default_rng(0).random((_ENCODED, *(models[0].resolution,) * 3), np.float32)
    objects = np.where(objects > 0.9, np.float32(1), np.float32(0))
    functions = {
        run.name: functools.partial(model.encode, objects)
        for run, model in zip(runs, models, strict=True)
    }
    times = timing.interleave(functions, seconds=0, min_rounds=_REPETITIONS, untimed=1)
    return [times[run.name] / _ENCODED for run in runs]


def _fill_in_gaps(rows: Iterable[Row]) -> None:
    def sse(method: str, rotations: str, row: Row) -> float:
        cell = (method, rotations, row.latent_size, row.seed)
        return next((_sse_beside(r, row.rotations) for r in rows if _cell(r) == cell), np.nan)

    for row in rows:
        rotated, aligned = sse("rotated VAE", row.rotations, row), sse("aligned VAE", "none", row)
        if rotated > aligned:
            row.gap_closed = (rotated - row.sse) / (rotated - aligned)


def _sse_beside(row: Row, rotations: str) -> float:
    """Returns a run's SSE as it can stand beside runs of objects that are turned like that."""
    # Turned by 90 degrees, objects are the same voxels in another order.
    return row.sse_turned if row.rotations == "none" and rotations == "so3" else row.sse


def _fill_in_encoding_ratios(rows: Iterable[Row]) -> None:
    plain = [row.seconds_per_object for row in rows if row.method.endswith("VAE")]
    if plain:
        for row in rows:
            row.encoding_ratio = float(row.seconds_per_object / np.median(plain))


def _cell(row: Row) -> tuple[str, str, int, int]:
    return row.method, row.rotations, row.latent_size, row.seed


def write_csv(rows: list[Row], path: Path) -> None:
    """Writes one line per run."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    atomic.write(path, text.getvalue().encode())


def plot(rows: list[Row], path: Path) -> None:
    """Draws the SSE over the latent size, a panel for every kind of rotation; means over seeds."""
    from matplotlib.figure import Figure

    kinds = sorted({row.rotations for row in rows} - {"none"}) or ["none"]
    figure = Figure(figsize=(4.4 * len(kinds), 3.6), dpi=150, layout="constrained")
    axes = np.ravel(figure.subplots(1, len(kinds), sharey=True))
    for axis, kind in zip(axes, kinds, strict=True):
        for method, (color, style) in _STYLES.items():
            # The VAE of aligned objects is the reference in every panel.
            wanted = "none" if method == "aligned VAE" else kind
            known: dict[int, list[float]] = {}
            for row in rows:
                if (row.method, row.rotations) == (method, wanted):
                    known.setdefault(row.latent_size, []).append(_sse_beside(row, kind))
            sizes = sorted(size for size, values in known.items() if not np.all(np.isnan(values)))
            if not sizes:
                continue
            means = [np.nanmean(known[size]) for size in sizes]
            axis.plot(sizes, means, style, color=color, marker="o", markersize=4, label=method)
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_formatter("{x:.0f}")
        axis.set_title(_TITLES[kind])
        axis.set_xlabel("latent size")
        axis.set_ylabel("SSE per test object")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    atomic.write(path, picture.getvalue())


def main() -> None:
    """Collects a sweep, prints its table, and says where the files are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="the folder with the runs")
    folder = parser.parse_args().folder
    try:
        rows = collect(folder)
    except RotdisError as error:
        print(f"rotdis: {error}", file=sys.stderr)
        sys.exit(2)
    print("rotations latent seed method       SSE     gap closed  s/step  ms/object  of plain")
    for r in rows:
        closed = "-" if np.isnan(r.gap_closed) else f"{r.gap_closed:.0%}"
        print(
            f"{r.rotations:<9} {r.latent_size:>6} {r.seed:>4} {r.method:<12} {r.sse:<7.2f} "
            f"{closed:>10} {r.seconds_per_step:>7.3f} {1000 * r.seconds_per_object:>10.2f} "
            f"{r.encoding_ratio:>8.1f}x"
        )
    try:
        write_csv(rows, folder / "sweep.csv")
        plot(rows, folder / "sweep.png")
    except OSError as error:
        print(f"rotdis: {error.filename}: cannot be written ({error.strerror})", file=sys.stderr)
        sys.exit(1)
    unknown = [row for row in rows if row.method == "aligned VAE" and np.isnan(row.sse_turned)]
    if unknown and any(row.rotations == "so3" for row in rows):
        print(
            f"of {len(unknown)} aligned VAEs the SSE of turned objects is not known, nor what gap "
            "is closed: evaluate them again (--mode=evaluate --workdir=...)"
        )
    print(f"written: {folder / 'sweep.csv'}, {folder / 'sweep.png'}")


if __name__ == "__main__":
    main()
