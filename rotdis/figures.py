"""Plots for the report: numbers in, pictures out, drawn by matplotlib without a display."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TRAIN_INK, _VALIDATION_INK, _INK = "#3b6ea8", "#e08a1e", "#444a56"
_COLUMNS = 4
_SMALL = {"xtick.labelsize": 8, "ytick.labelsize": 8}
# Validation metrics worth a panel of their own; all of training's have one.
_VALIDATION = (
    "reconstruction/iou",
    "reconstruction/sse",
    "pose/pair_median_deg",
    "pose/pair_acc30",
    "canonical/instance_iou",
    "canonical/category_median_deg",
    "latent/nn1_accuracy",
    "latent/view_distance",
)


def learning_curves(
    scalars: Mapping[str, tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]],
) -> UInt8[np.ndarray, "h w 3"] | None:
    """Draws training's and validation's scalars over the step, a panel each.

    Args:
        scalars: name -> (steps, values), as from `rotdis.metric_writer.read_scalars`.

    Returns:
        The figure, or None where there is nothing to draw.
    """
    names = [name for name in scalars if name.startswith("train/")]
    names += [f"validation/{name}" for name in _VALIDATION if f"validation/{name}" in scalars]
    if not names:
        return None
    figure, axes = _grid(len(names))
    for axis, name in zip(axes, names, strict=True):
        steps, values = scalars[name]
        if name.startswith("train/"):
            axis.plot(steps, values, color=_TRAIN_INK, alpha=0.3, linewidth=0.8)
            axis.plot(steps, _smooth(values), color=_TRAIN_INK, linewidth=1.6)
            _keep_in_view(axis, values)
        else:
            axis.plot(steps, values, color=_VALIDATION_INK, linewidth=1.6, marker="o", markersize=3)
        axis.set_title(name, fontsize=9, color=_INK)
    return _pixels(figure)


def pair_error_histograms(
    errors: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"], class_names: Sequence[str]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws how the pair errors (degrees) are distributed, over all objects and in each class."""
    present = [int(value) for value in np.unique(label)]
    groups = [("all", errors)] + [(class_names[value], errors[label == value]) for value in present]
    figure, axes = _grid(len(groups))
    bins = np.arange(0, 181, 5)
    for axis, (name, values) in zip(axes, groups, strict=True):
        color = _TRAIN_INK if name == "all" else _VALIDATION_INK
        axis.hist(values, bins=bins, weights=np.full(len(values), 1 / len(values)), color=color)
        axis.set_title(
            f"{name}, median {np.median(values):.1f}\N{DEGREE SIGN}", fontsize=9, color=_INK
        )
        axis.set_xlim(0, 180)
        axis.set_xticks(range(0, 181, 45))
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter("{x:.0%}")
    return _pixels(figure)


def _grid(count: int) -> tuple["Figure", list["Axes"]]:
    import matplotlib
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    columns = min(_COLUMNS, count)
    rows = math.ceil(count / columns)
    with matplotlib.rc_context(_SMALL):
        figure = Figure(figsize=(2.7 * columns, 1.95 * rows), dpi=130, layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["left", "bottom"]].set_color("#c6cad3")
        axis.tick_params(colors=_INK, length=3)
        axis.grid(axis="y", color="#eceef2")
        axis.set_axisbelow(True)
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[:count]


def _pixels(figure: "Figure") -> UInt8[np.ndarray, "h w 3"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _smooth(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Returns a centred moving average over about a thirtieth of the run, shorter at the ends."""
    width = max(1, len(values) // 30)
    kernel = np.ones(2 * width + 1)
    finite = np.isfinite(values)
    total = np.convolve(np.where(finite, values, 0.0), kernel)[width:-width]
    weight = np.convolve(finite.astype(float), kernel)[width:-width]
    return total / np.where(weight > 0, weight, np.nan)


def _keep_in_view(axis: "Axes", values: Float[np.ndarray, " n"]) -> None:
    """Lets the first steps leave the panel where they dwarf everything that comes later."""
    finite = values[np.isfinite(values)]
    if len(finite) < 20:
        return
    low, high = np.percentile(finite, [0, 97])
    if high > low and finite.max() > high + 2 * (high - low):
        margin = 0.08 * (high - low)
        axis.set_ylim(low - margin, high + margin)
