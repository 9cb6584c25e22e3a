"""The report's tables: metrics with what they mean and by class, and runs side by side."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rotdis.report import glossary
from rotdis.report.siblings import Run


class Cell(NamedTuple):
    """One value as it is shown, and whether it is the best of its row."""

    text: str
    best: bool = False


class Row(NamedTuple):
    """One metric."""

    name: str
    entry: glossary.Entry
    cells: list[Cell]


class Table(NamedTuple):
    """Groups of rows under common columns."""

    columns: list[str]
    groups: list[tuple[str, list[Row]]]


# Of the comparison of runs: the rest is in each run's own report.
_COMPARED = (
    "data/test_objects",
    "reconstruction/iou",
    "reconstruction/sse",
    "pose/pair_median_deg",
    "pose/pair_acc30",
    "pose/pair_median_symmetric_deg",
    "canonical/instance_iou",
    "canonical/category_to_mode_deg",
    "canonical/category_chamfer",
    "latent/nn1_accuracy",
    "latent/linear_probe_accuracy",
    "latent/linear_probe_accuracy_aligned_so3",
    "latent/view_distance",
    "latent/rotation_error_deg",
    "latent/dci_disentanglement",
)
_UP_TO_SYMMETRY = ("pose/pair_median_symmetric_deg", "canonical/category_to_mode_deg")


def by_class(metrics: Mapping[str, float]) -> Table:
    """Returns every metric, of all objects, of groups of classes and of each class."""
    scopes = {name.split("/", 2)[2] for name in metrics if name.count("/") > 1}
    scopes = ["", *sorted(scopes, key=lambda scope: (scope.startswith("class/"), scope))]
    columns = ["all", *(scope.split("/", 1)[1] for scope in scopes[1:])]
    names = [name for name in metrics if name.count("/") < 2]
    titles = [*glossary.GROUPS, "Other"]
    groups: dict[str, list[Row]] = {title: [] for title in titles}
    order = list(glossary.ENTRIES)
    for name in sorted(names, key=lambda n: (order.index(n) if n in order else len(order), n)):
        values = [metrics.get(f"{name}/{scope}" if scope else name) for scope in scopes]
        title = next((t for t, known in glossary.GROUPS.items() if name in known), "Other")
        cells = [Cell("" if v is None else glossary.write(name, v)) for v in values]
        groups[title].append(Row(name, glossary.entry_of(name), cells))
    return Table(columns, [(title, rows) for title, rows in groups.items() if rows])


def side_by_side(runs: Sequence[Run]) -> Table:
    """Returns the main metrics of several runs, a column each, this run first.

    The best of a row is chosen among runs whose objects are turned as this run's are: a model that
    only ever saw aligned objects had it easier. So had one that is forgiven other symmetries.
    """
    rows = []
    for name in _COMPARED:
        values = [run.metrics.get(name) for run in runs]
        if any(value is not None for value in values):
            terms = ["data.rotations", *(["eval.symmetries"] if name in _UP_TO_SYMMETRY else [])]
            rival = [all(r.config.get(t) == runs[0].config.get(t) for t in terms) for r in runs]
            rivals = [v for v, counts in zip(values, rival, strict=True) if counts]
            best = _best(rivals, glossary.entry_of(name).better)
            cells = [
                Cell(glossary.write(name, v), v is not None and v == best and counts)
                for v, counts in zip(values, rival, strict=True)
            ]
            rows.append(Row(name, glossary.entry_of(name), cells))
    return Table([run.name for run in runs], [("", rows)])


def _best(values: Sequence[float | None], better: str) -> float | None:
    present = [value for value in values if value is not None]
    if len(present) < 2 or not better or min(present) == max(present):
        return None
    return max(present) if better == "higher" else min(present)
