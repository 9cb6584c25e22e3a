"""Plots for the report: numbers in, SVG out, drawn by matplotlib without a display.

Each panel is a picture of its own, so that the page can lay them out for any width. Colours are
left to the page's style sheet, `var(--...)`: it knows whether the reader's background is dark.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rotdis.report import glossary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that stand for the page's: matplotlib does not know of variables.
_TRAIN, _VALIDATION, _INK, _LINE, _GRID = "#010101", "#010102", "#010103", "#010104", "#010105"
_VARIABLES = {
    _TRAIN: "--train",
    _VALIDATION: "--validation",
    _INK: "--soft",
    _LINE: "--line",
    _GRID: "--grid",
}
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}
_POINTS = 400  # of a curve, at most
# Validation metrics worth a panel of their own; all of training's have one.
_SHOWN = (
    "reconstruction/iou",
    "reconstruction/sse",
    "pose/pair_median_deg",
    "pose/pair_acc30",
    "canonical/instance_iou",
    "canonical/category_median_deg",
    "latent/nn1_accuracy",
    "latent/view_distance",
)


class Chart(NamedTuple):
    """A panel.

    Attributes:
        title: what it is of.
        svg: an `<svg>` element.
        text: what it shows, in words.
    """

    title: str
    svg: str
    text: str


def learning_curves(
    scalars: Mapping[str, tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]],
) -> list[Chart]:
    """Draws validation's and training's scalars over the step.

    Args:
        scalars: name -> (steps, values), as from `rotdis.metric_writer.read_scalars`.
    """
    names = [f"validation/{name}" for name in _SHOWN if f"validation/{name}" in scalars]
    names += [name for name in scalars if name.startswith("train/")]
    return [_curve(name, *scalars[name]) for name in names]


def pair_error_histograms(
    errors: Float[np.ndarray, " n"], label: Int[np.ndarray, " n"], class_names: Sequence[str]
) -> list[Chart]:
    """Draws how the pair errors (degrees) are distributed, over all objects and in each class."""
    groups = [("all classes", errors)]
    groups += [(class_names[c], errors[label == c]) for c in np.unique(label)]
    return [_histogram(name, values) for name, values in groups]


def _curve(name: str, steps: Int[np.ndarray, " n"], values: Float[np.ndarray, " n"]) -> Chart:
    figure, axis = _panel()
    training = name.startswith("train/")
    color = _TRAIN if training else _VALIDATION
    chosen = np.unique(np.linspace(0, len(steps) - 1, _POINTS).astype(int))
    if training:
        axis.plot(steps[chosen], values[chosen], color=color, alpha=0.35, linewidth=0.8)
        axis.plot(steps[chosen], _smooth(values)[chosen], color=color, linewidth=1.6)
        _keep_in_view(axis, values)
    else:
        axis.plot(steps, values, color=color, linewidth=1.6, marker="o", markersize=3)
    axis.xaxis.set_major_locator(_ticks(4))
    axis.yaxis.set_major_locator(_ticks(4))
    kind, metric = name.split("/", 1)
    last = values[np.isfinite(values)][-1:]
    title = f"{kind}: {glossary.entry_of(metric).title if not training else metric}"
    end = f", {last[0]:.4g} at the end" if len(last) else ""
    text = f"{title} over steps {steps[0]} to {steps[-1]}{end}"
    return Chart(title.replace("_", " "), _svg(figure, name, text), text)


def _histogram(name: str, values: Float[np.ndarray, " n"]) -> Chart:
    figure, axis = _panel()
    weights = np.full(len(values), 1 / len(values))
    axis.hist(values, bins=np.arange(0, 181, 5), weights=weights, color=_TRAIN)
    axis.set_xlim(0, 180)
    axis.set_xticks(range(0, 181, 45), [f"{a}\N{DEGREE SIGN}" for a in range(0, 181, 45)])
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_locator(_ticks(4))
    axis.yaxis.set_major_formatter("{x:.0%}")
    median, near = np.median(values), np.mean(values < 30)
    text = f"pair errors of {name}: median {median:.1f} degrees, {near:.0%} below 30 degrees"
    title = f"{name}: median {median:.1f}\N{DEGREE SIGN}"
    return Chart(title, _svg(figure, f"pair {name}", text), text)


def _panel():
    import matplotlib
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(2.9, 1.7), layout="constrained")
        axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(_LINE)
    axis.tick_params(color=_LINE, labelcolor=_INK, length=3)
    axis.grid(axis="y", color=_GRID)
    axis.set_axisbelow(True)
    return figure, axis


def _ticks(count: int):
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count)


def _svg(figure, name: str, text: str) -> str:
    """Returns the figure as an element that can stand in a page beside others of its kind."""
    import matplotlib

    buffer = io.StringIO()
    nothing = dict.fromkeys(["Date", "Creator", "Format", "Type"])
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawn, flags=re.DOTALL)
    # In a page, elements need no name spaces, and what is not referred to no name.
    drawn = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", drawn).replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawn))
    drawn = re.sub(r'\sid="([^"]*)"', lambda m: m[0] if m[1] in used else "", drawn)
    for color, variable in _VARIABLES.items():
        drawn = drawn.replace(color, f"var({variable})")
    label = re.sub(r"[<>&\"]", lambda m: f"&#{ord(m[0])};", text)
    opening = re.search(r'viewBox="[^"]*"', drawn)[0]
    head = f'<svg {opening} role="img" aria-label="{label}">'
    drawn = re.sub(r"<svg[^>]*>", lambda _: head, drawn, count=1)  # it may hold a backslash
    return re.sub(r"\n\s*", "\n", drawn).strip()


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
