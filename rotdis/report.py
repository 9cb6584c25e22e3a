"""The last stage: one self-contained page, `W/report.html`, that shows how well a run worked."""

import base64
import html
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from rotdis import pictures
from rotdis.collect import Evaluable
from rotdis.data.voxelset import VoxelSet
from rotdis.evaluate import Evaluation
from rotdis.figures import learning_curves, pair_error_histograms
from rotdis.metric_writer import read_scalars
from rotdis.metrics.summary import Predictions

# Tiles at the top of the page: metric, what it is called, format, unit.
_TILES = (
    ("reconstruction/iou", "reconstruction IoU", ".2f", ""),
    ("pose/pair_median_deg", "pair-pose median", ".1f", "\N{DEGREE SIGN}"),
    ("pose/pair_acc30", "pairs within 30\N{DEGREE SIGN}", ".0%", ""),
    ("canonical/instance_iou", "canonical IoU of two views", ".2f", ""),
    ("canonical/category_median_deg", "class frames, median", ".0f", "\N{DEGREE SIGN}"),
    ("latent/nn1_accuracy", "nearest-neighbour accuracy", ".0%", ""),
)
# Columns of the per-class table: metric, heading, format.
_COLUMNS = (
    ("data/test_objects", "objects", ".0f"),
    ("reconstruction/iou", "IoU", ".3f"),
    ("reconstruction/sse", "SSE", ".1f"),
    ("pose/pair_median_deg", "pair median, deg", ".1f"),
    ("pose/pair_acc15", "pairs within 15 deg", ".3f"),
    ("pose/pair_acc30", "pairs within 30 deg", ".3f"),
    ("canonical/instance_iou", "canonical IoU", ".3f"),
    ("canonical/category_median_deg", "class frames, deg", ".1f"),
    ("latent/nn1_accuracy", "nearest neighbour", ".3f"),
    ("latent/linear_probe_accuracy", "linear probe", ".3f"),
)

_STYLE = """
:root { color-scheme: light; --ink: #23262d; --soft: #6a7080; --line: #e3e6ec; --tint: #f6f7f9; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 30px; margin: 0 0 4px; } h2 { font-size: 22px; margin: 56px 0 8px; }
h3 { font-size: 17px; margin: 28px 0 4px; font-weight: 600; }
p { margin: 4px 0 16px; max-width: 72ch; color: var(--soft); }
img { display: block; max-width: 100%; height: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
         margin: 24px 0; }
.tile { background: var(--tint); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 28px; line-height: 1.2; font-weight: 650; }
.tile span { color: var(--soft); font-size: 13px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 12px; text-align: right; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; }
tr.all td { border-top: 2px solid var(--line); font-weight: 600; }
details { margin: 16px 0; } summary { cursor: pointer; color: var(--soft); }
"""


def write_report(
    workdir: str | Path,
    model: Evaluable,
    test: VoxelSet,
    evaluation: Evaluation,
    *,
    per_class: int = 6,
    gallery: int = 24,
) -> Path:
    """Writes `report.html` and its pictures (`pictures/*.png`) into a run's folder.

    The page refers to nothing outside itself: it can be mailed, and opens offline. The objects
    shown are the first of each class in the split, not the best.

    Args:
        workdir: the run's folder; its `metrics.jsonl` gives the learning curves.
        model: decodes the reconstructions.
        test: the split that was evaluated.
        evaluation: what `rotdis.evaluate.evaluate` made of it.
        per_class: objects of each class shown with view, canonical form and reconstruction.
        gallery: objects of each class shown side by side in their canonical frames.

    Returns:
        The page's path.
    """
    workdir = Path(workdir)
    folder = workdir / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    metrics, predictions = evaluation.metrics, evaluation.predictions
    body = [_headline(workdir, metrics, predictions), _tiles(metrics), _metric_tables(metrics)]
    curves = learning_curves(read_scalars(workdir))
    if curves is not None:
        body.append("<h2>Learning curves</h2>" + _image(folder / "curves.png", curves, "curves"))
    if predictions is not None:
        body += _pose_section(folder, predictions)
        body += _object_sections(folder, model, test, predictions, per_class, gallery)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>rotdis: {html.escape(workdir.resolve().name)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )
    path = workdir / "report.html"
    partial = workdir / ".report.html.tmp"
    partial.write_text(page, encoding="utf-8")
    os.replace(partial, path)
    return path


def _headline(workdir: Path, metrics: Mapping[str, float], predictions: Predictions | None) -> str:
    objects = int(metrics.get("data/test_objects", 0))
    removed = int(metrics.get("data/test_duplicates_removed", 0))
    classes = 0 if predictions is None else len(np.unique(predictions.label))
    return (
        f"<h1>{html.escape(workdir.resolve().name)}</h1>"
        f"<p>{objects} test objects of {classes} classes, each in two views under random "
        f"rotations; {removed} duplicates of training objects were removed.</p>"
    )


def _tiles(metrics: Mapping[str, float]) -> str:
    tiles = "".join(
        f'<div class="tile"><b>{metrics[name]:{form}}{unit}</b><span>{title}</span></div>'
        for name, title, form, unit in _TILES
        if name in metrics
    )
    return f'<div class="tiles">{tiles}</div>'


def _metric_tables(metrics: Mapping[str, float]) -> str:
    scopes = sorted({name.split("/", 2)[2] for name in metrics if name.count("/") > 1})
    columns = [c for c in _COLUMNS if any(f"{c[0]}/{scope}" in metrics for scope in scopes)]
    heads = "".join(f"<th>{heading}</th>" for _, heading, _ in columns)
    rows = []
    for scope in [*scopes, ""]:
        suffix = f"/{scope}" if scope else ""
        cells = "".join(_cell(metrics.get(name + suffix), form) for name, _, form in columns)
        title = html.escape(scope.removeprefix("class/") or "all")
        rows.append(f"<tr{'' if scope else ' class=all'}><td>{title}</td>{cells}</tr>")
    by_class = f"<table><tr><th>class</th>{heads}</tr>{''.join(rows)}</table>" if columns else ""
    overall = "".join(
        f"<tr><td>{html.escape(name)}</td>{_cell(metrics[name], '.4g')}</tr>"
        for name in sorted(metrics)
        if name.count("/") < 2
    )
    return (
        f'<h2>Metrics</h2><div class="wide">{by_class}</div><details><summary>All overall '
        f"values</summary><table>{overall}</table></details>"
    )


def _cell(value: float | None, form: str) -> str:
    return f"<td>{'' if value is None else format(value, form)}</td>"


def _pose_section(folder: Path, predictions: Predictions) -> list[str]:
    figure = pair_error_histograms(
        predictions.pair_error, predictions.label, predictions.class_names
    )
    return [
        "<h2>Pose errors</h2><p>Angle between the inferred and the true relative rotation of an "
        "object's two views. A peak at 90 or 180 degrees is a symmetry, or one that is nearly "
        "there.</p>",
        _image(folder / "pair_error.png", figure, "histograms of the pair error"),
    ]


def _object_sections(
    folder: Path,
    model: Evaluable,
    test: VoxelSet,
    predictions: Predictions,
    per_class: int,
    gallery: int,
) -> list[str]:
    turned = (
        " Each class as a whole is turned by one rotation to stand upright: the pose that a model "
        "calls canonical may lie any way up."
        if predictions.aligned
        else ""
    )
    objects = [
        "<h2>Objects</h2><p>The first test objects of each class: as the model saw them, turned "
        f"into the canonical pose that it inferred, and as it reconstructed them.{turned}</p>"
    ]
    frames = [
        "<h2>Classes in their canonical frames</h2><p>Whatever is turned differently from the "
        "others of its class was given another frame.</p>"
    ]
    for label, name in enumerate(predictions.class_names):
        members = np.flatnonzero(predictions.label == label)
        if not len(members):
            continue
        title, stem = f"<h3>{html.escape(name)}</h3>", re.sub(r"\W", "_", name)
        sheet = pictures.class_sheet(model, test, predictions, members[:per_class])
        objects.append(title + _image(folder / f"objects_{stem}.png", sheet, f"{name}: objects"))
        sheet = pictures.canonical_sheet(test, predictions, members[:gallery])
        frames.append(title + _image(folder / f"canonical_{stem}.png", sheet, f"{name}: frames"))
    return objects + frames


def _image(path: Path, picture: UInt8[np.ndarray, "h w 3"], description: str) -> str:
    """Writes a PNG and returns the same as an inline element."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    path.write_bytes(buffer.getvalue())
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{html.escape(description, quote=True)}" src="data:image/png;base64,{data}">'
