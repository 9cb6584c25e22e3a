"""Puts the report together: what the other modules of this package make, in one page."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from rotdis import atomic, run_folder
from rotdis.collect import Evaluable
from rotdis.data.voxelset import VoxelSet
from rotdis.evaluate import Evaluation
from rotdis.metric_writer import read_scalars
from rotdis.metrics.summary import Predictions
from rotdis.report import (
    charts,
    confusion,
    generated,
    glossary,
    provenance,
    sections,
    siblings,
    tables,
    viewer,
)

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = ("surface.js", "draw.js", "viewer.js")
_TURNED = 6  # objects in the interactive view
_OBJECTS, _FORMS = 100, 1200  # shown in all, in full and side by side: the page stays below 10 MB
# Numbers at the top of the page; of those that say something of a run, the first six.
_TILES = (
    "reconstruction/iou",
    "pose/pair_median_symmetric_deg",
    "pose/pair_median_deg",
    "pose/pair_acc30",
    "canonical/category_to_mode_acc15",
    "canonical/instance_iou",
    "latent/nn1_accuracy",
    "latent/view_distance",
    "latent/linear_probe_accuracy",
    "reconstruction/sse",
)
# Perfect by itself where the two views of an object are the same.
_OF_VIEWS = ("pose/", "canonical/instance", "latent/view_distance")


def write_report(
    workdir: str | Path,
    model: Evaluable,
    test: VoxelSet,
    evaluation: Evaluation,
    *,
    per_class: int = 6,
    gallery: int = 100,
) -> Path:
    """Writes `report.html`, and the sheets of objects as `pictures/*.png`, into a run's folder.

    The page refers to nothing outside itself: it can be mailed, and opens offline. The objects
    shown are the first of each class in the split, not the best. Evaluated runs in sibling folders
    on the same data are shown beside this one.

    Args:
        workdir: the run's folder; its `metrics.jsonl` gives the learning curves, its `config.json`
            the configuration.
        model: decodes the reconstructions, and is asked about objects as they turn.
        test: the split that was evaluated.
        evaluation: what `rotdis.evaluate.evaluate` made of it.
        per_class: objects of each class shown with view, canonical form and reconstruction.
        gallery: objects of each class shown side by side in their canonical frames. Of both, at
            most; there are fewer each where there are very many classes.

    Returns:
        The page's path.
    """
    workdir = Path(workdir)
    (workdir / "pictures").mkdir(parents=True, exist_ok=True)
    metrics, predictions = evaluation.metrics, evaluation.predictions
    shown = {
        "name": workdir.resolve().name,
        "metrics": metrics,
        "tiles": _tiles(metrics, predictions),
        "table": tables.by_class(metrics),
        "curves": charts.learning_curves(read_scalars(workdir)),
        "provenance": provenance.describe(workdir),
        **_compared(workdir, metrics),
    }
    if predictions is not None:
        shown |= _pictures(workdir, model, test, predictions, per_class, gallery)
    path = workdir / "report.html"
    atomic.write(path, _render(shown).encode("utf-8"))
    return path


def _pictures(
    workdir: Path,
    model: Evaluable,
    test: VoxelSet,
    predictions: Predictions,
    per_class: int,
    gallery: int,
) -> dict[str, object]:
    folder = workdir / "pictures"
    classes = len(np.unique(predictions.label))
    per_class = min(per_class, max(2, _OBJECTS // classes))
    gallery = min(gallery, max(8, _FORMS // classes))
    return {
        "aligned": predictions.aligned,
        "resolution": test.resolution,
        "turned": _are_turned(predictions),
        "seen": _seen(predictions),
        "classes": sections.of_classes(model, test, predictions, folder, per_class, gallery),
        "samples": generated.samples(model, predictions, seed=0),
        "ways": generated.interpolations(model, test, predictions),
        "histograms": charts.pair_error_histograms(
            predictions.pair_error, predictions.label, predictions.class_names
        ),
        "kinds": confusion.KINDS,
        # Without a common frame it is not known which way is up.
        "views_confused": confusion.between_views(predictions) if predictions.aligned else None,
        "frames_confused": confusion.between_objects(predictions) if predictions.aligned else None,
        "matrix": confusion.matrix(predictions),
        "viewer": viewer.scenes(model, test, predictions, viewer.choose(predictions, _TURNED)),
    }


def _are_turned(predictions: Predictions) -> bool:
    return not _are_identity(predictions.views)


def _are_identity(rotations: Float[np.ndarray, "n 2 3 3"]) -> bool:
    return bool((rotations == np.eye(3)).all())


def _seen(predictions: Predictions) -> str:
    """Returns how objects were turned to be seen."""
    views = predictions.views
    if not _are_turned(predictions):
        return "as it is, in the source's alignment"
    if (views == np.round(views)).all():
        return "in two views, turned by random multiples of 90 degrees"
    return "in two views under random rotations"


def _tiles(
    metrics: Mapping[str, float], predictions: Predictions | None
) -> list[tuple[str, str, str]]:
    """Returns (title, value, explanation) of the main numbers."""
    present = [name for name in _TILES if name in metrics]
    if predictions is not None and not _are_turned(predictions):
        # A plain VAE has the source's own frames, too.
        untold = (*_OF_VIEWS, *(["canonical/"] if _are_identity(predictions.rotations) else []))
        present = [name for name in present if not name.startswith(untold)]
    if "pose/pair_median_symmetric_deg" in present:  # which says more than the plain one
        present.remove("pose/pair_median_deg")
    entries = [(name, glossary.entry_of(name)) for name in present[:6]]
    return [
        (entry.title, glossary.write(name, metrics[name]), entry.text) for name, entry in entries
    ]


def _compared(workdir: Path, metrics: Mapping[str, float]) -> dict[str, object]:
    """Returns this run and its siblings side by side, and the configuration."""
    try:
        nested = json.loads((workdir / "config.json").read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, KeyError):
        return {"config": None, "hypotheses": True, "runs": None, "elsewhere": []}
    config = siblings.flatten(nested) | siblings.flatten(run_folder.evaluated_on(workdir))
    same, other = siblings.find(workdir, config)
    this = siblings.Run(workdir.resolve().name, metrics, config)
    return {
        "config": json.dumps(nested, indent=2, sort_keys=True),
        "seed": config.get("seed"),
        # Only the mixture chooses among the cube's 24 rotations with a residual.
        "hypotheses": config.get("pose.method", "mixture") == "mixture",
        "runs": tables.side_by_side([this, *same]) if same else None,
        "different": [(run.name, siblings.differences(config, run.config)) for run in same],
        "elsewhere": other,
    }


def _render(shown: Mapping[str, object]) -> str:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = lambda share: f"{share:.0%}"

    def asset(name: str) -> Markup:
        return Markup((_ASSETS / name).read_text(encoding="utf-8"))

    return environment.get_template("page.html.j2").render(
        shown, style=asset("style.css"), script=Markup("\n").join(map(asset, _SCRIPTS))
    )
