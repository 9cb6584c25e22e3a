"""From what evaluate collected of each test object to the flat table name -> number.

One function describes one set of objects; it is applied to the whole split (`NAME`), to each class
(`NAME/class/CLASS`) and to each asked-for group of classes (`NAME/group/GROUP`). A metric that is
undefined for a set (too few objects, data without a common frame) is left out, never NaN.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from rotdis.geometry import so3
from rotdis.metrics import pose, reconstruction, self_similarity, symmetry


class Measured(NamedTuple):
    """One number an object, NaN where there is none, and how those of several become one."""

    values: Float[np.ndarray, " n"]
    reduce: Callable[[Float[np.ndarray, " m"]], float]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model made of the test objects: two views each, one row an object, at least one.

    Attributes:
        class_names: the classes, in the order of `label`.
        aligned: whether the objects of a class share one frame in the source.
        source_id: where each object came from.
        index: its place in the split as it was given (duplicates are skipped).
        label: its class.
        views: the rotations Q1, Q2 that turned it from the source's orientation.
        rotations: the rotations R1, R2 that the model inferred from the two views.
        z_mean: the model's shape code of each view.
        counts: view 1 against its reconstruction, in voxels.
        sse: squared error of view 1's reconstruction, summed over voxels.
        sse_other_view: the same, decoded from view 2's code at view 1's rotation.
        instance_iou: overlap of the two views' canonical forms; NaN where both are empty.
        pair_error: error of the relative rotation R2 R1^T, in degrees.
        nearest: the other object (row), no copy of it, with the nearest code; None with fewer than
            two classes, or where all are copies of one.
        probe_label: class predicted by the linear probe; None where there was none.
        view_distance: distance between the object's two codes, over the mean distance between
            different objects' codes; None with fewer than two objects, or one code for all.
        measured: metrics of the thorough evaluation, by name (`rotdis.thorough`).
        overall: those of the whole split that are no summary of objects.
        symmetries: rotations that each class is declared to be blind to, for those that have some;
            None without a thorough evaluation.
        own_symmetries: which of `self_similarity.candidates` each object hardly tells from the
            identity; None without one.
    """

    class_names: tuple[str, ...]
    aligned: bool
    source_id: tuple[str, ...]
    index: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    views: Float[np.ndarray, "n 2 3 3"]
    rotations: Float[np.ndarray, "n 2 3 3"]
    z_mean: Float[np.ndarray, "n 2 l"]
    counts: reconstruction.Confusion
    sse: Float[np.ndarray, " n"]
    sse_other_view: Float[np.ndarray, " n"]
    instance_iou: Float[np.ndarray, " n"]
    pair_error: Float[np.ndarray, " n"]
    nearest: Int[np.ndarray, " n"] | None = None
    probe_label: Int[np.ndarray, " n"] | None = None
    view_distance: Float[np.ndarray, " n"] | None = None
    measured: Mapping[str, Measured] = dataclasses.field(default_factory=dict)
    overall: Mapping[str, float] = dataclasses.field(default_factory=dict)
    symmetries: Mapping[str, Float[np.ndarray, "_ 3 3"]] | None = None
    own_symmetries: Bool[np.ndarray, "n s"] | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def iou(self) -> Float[np.ndarray, " n"]:
        """Intersection over union of view 1 and its reconstruction."""
        return reconstruction.iou(self.counts)

    @property
    def frames(self) -> Float[np.ndarray, "n 3 3"]:
        """The canonical form's orientation in the source's own frame, from view 1."""
        return pose.frames(self.views[:, 0], self.rotations[:, 0])


def summarize(
    predictions: Predictions, groups: Mapping[str, Sequence[str]] | None = None
) -> dict[str, float]:
    """Returns all metrics of the split, of its classes and of the given groups of classes.

    A group pools the objects of its classes. A group with a class of which the split holds no
    object is left out, so a pooled number is always over exactly the classes asked for.
    """
    present = set(np.unique(predictions.label).tolist())
    metrics = _describe(predictions, np.ones(len(predictions), bool))
    scopes = {f"class/{name}": [name] for name in predictions.class_names}
    scopes |= {f"group/{group}": names for group, names in (groups or {}).items()}
    for scope, names in scopes.items():
        labels = {predictions.class_names.index(n) for n in names if n in predictions.class_names}
        if names and len(labels) == len(set(names)) and labels <= present:
            chosen = np.isin(predictions.label, list(labels))
            described = _describe(predictions, chosen)
            metrics |= {f"{name}/{scope}": value for name, value in described.items()}
    return metrics | dict(predictions.overall)


def _describe(predictions: Predictions, chosen: np.ndarray) -> dict[str, float]:
    """Returns the metrics of the chosen objects, of which there is at least one."""
    counts = reconstruction.Confusion(*(count[chosen] for count in predictions.counts))
    pair_error = predictions.pair_error[chosen]
    label = predictions.label[chosen]
    metrics = {
        "data/test_objects": int(np.sum(chosen)),
        "reconstruction/iou": np.mean(predictions.iou[chosen]),
        "reconstruction/sse": np.mean(predictions.sse[chosen]),
        "reconstruction/sse_other_view": np.mean(predictions.sse_other_view[chosen]),
        "reconstruction/tpr": reconstruction.true_positive_rate(counts),
        "reconstruction/tnr": reconstruction.true_negative_rate(counts),
        "pose/pair_median_deg": np.median(pair_error),
        "pose/pair_acc15": pose.accuracy(pair_error, 15),
        "pose/pair_acc30": pose.accuracy(pair_error, 30),
    }
    measured = {"canonical/instance_iou": Measured(predictions.instance_iou, np.mean)}
    measured |= predictions.measured
    if predictions.aligned:
        frames = predictions.frames[chosen]
        metrics |= _category(frames, label)
        if predictions.symmetries is not None:
            groups = [predictions.symmetries.get(n) for n in predictions.class_names]
            metrics |= _category_up_to_symmetry(frames, label, groups)
        if predictions.own_symmetries is not None:
            own = predictions.own_symmetries[chosen]
            metrics |= _category_up_to_self_similarity(frames, label, own)
    if predictions.nearest is not None:
        neighbour = predictions.label[predictions.nearest[chosen]]
        metrics["latent/nn1_accuracy"] = np.mean(neighbour == label)
    if predictions.probe_label is not None:
        metrics["latent/linear_probe_accuracy"] = np.mean(predictions.probe_label[chosen] == label)
    if predictions.view_distance is not None:
        metrics["latent/view_distance"] = np.mean(predictions.view_distance[chosen])
    for name, (values, reduce) in measured.items():
        defined = values[chosen][~np.isnan(values[chosen])]
        if len(defined):
            metrics[name] = reduce(defined)
    return {
        name: value if isinstance(value, int) else float(value)
        for name, value in metrics.items()
        if value is not None
    }


def _category(frames: Float[np.ndarray, "n 3 3"], label: Int[np.ndarray, " n"]) -> dict[str, float]:
    """Compares frames over all pairs within a class; the mean over classes of two objects or more.

    A mean over classes, not over pairs: the number of pairs grows with the square of a class's
    size, and the largest class would decide.
    """
    classes, sizes = np.unique(label, return_counts=True)
    angles = [pose.pairwise_angles(frames[label == c]) for c in classes[sizes > 1]]
    if not angles:
        return {}
    return {
        "canonical/category_median_deg": float(np.mean([np.median(a) for a in angles])),
        "canonical/category_acc30": float(np.mean([pose.accuracy(a, 30) for a in angles])),
    }


def _category_up_to_symmetry(
    frames: Float[np.ndarray, "n 3 3"],
    label: Int[np.ndarray, " n"],
    groups: Sequence[Float[np.ndarray, "_ 3 3"] | None],
) -> dict[str, float]:
    """Compares frames as `_category` does, and with the one that is most common in their class.

    Each angle is the smallest over the class's declared symmetries. The distance to the mode is
    also free of what a few stray objects do to all pairs: it is category consistency up to one
    rotation a class. (The mode is found from these objects, so even of n frames at random one
    or more meet it.)
    """
    between, to_mode = [], []
    for c in np.unique(label):
        members = frames[label == c]
        if len(members) < 2:
            continue
        group = symmetry.IDENTITY if groups[c] is None else groups[c]
        angles = symmetry.frame_angles(members, members, group)
        between.append(np.median(angles[np.triu_indices(len(members), 1)]))
        mode = symmetry.common_frame(members, group)
        to_mode.append(symmetry.frame_angles(members, mode[None], group)[:, 0])
    if not between:
        return {}
    return {
        "canonical/category_median_symmetric_deg": float(np.mean(between)),
        "canonical/category_to_mode_deg": float(np.mean([np.median(a) for a in to_mode])),
        "canonical/category_to_mode_acc15": float(np.mean([pose.accuracy(a, 15) for a in to_mode])),
    }


def _category_up_to_self_similarity(
    frames: Float[np.ndarray, "n 3 3"], label: Int[np.ndarray, " n"], own: Bool[np.ndarray, "n s"]
) -> dict[str, float]:
    """Compares frames as `_category` does, to the nearest turn that either object hardly shows.

    And, as chance, frames that are drawn from the cube's rotations: how much these turns forgive.
    """
    random = np.random.default_rng(0)
    medians, chance = [], []
    for c, size in zip(*np.unique(label, return_counts=True), strict=True):
        if size > 1:
            symmetries = [self_similarity.candidates()[holds] for holds in own[label == c]]
            drawn = so3.cube_group()[random.integers(24, size=size)]
            for found, of in ((medians, frames[label == c]), (chance, drawn)):
                angles = symmetry.own_frame_angles(of, symmetries)
                found.append(np.median(angles[np.triu_indices(size, 1)]))
    if not medians:
        return {}
    return {
        "canonical/category_median_selfsimilar_deg": float(np.mean(medians)),
        "canonical/category_chance_selfsimilar_deg": float(np.mean(chance)),
    }
