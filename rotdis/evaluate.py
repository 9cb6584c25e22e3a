"""Evaluates a model on a split, between checkpoint and report: objects in, metrics out.

Every test object x is seen in two views, x1 = rotate(x, Q1) and x2 = rotate(x, Q2), under fixed
random rotations; see `rotdis.metrics.summary` for what is computed from them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from rotdis import collect
from rotdis.collect import Evaluable, Learned
from rotdis.data import voxelset
from rotdis.data.voxelset import VoxelSet
from rotdis.errors import DataError
from rotdis.metrics import latent
from rotdis.metrics.summary import Predictions, summarize
from rotdis.metrics.table import format_table, write_metrics

__all__ = ["Evaluable", "Evaluation", "Predictions", "evaluate", "format_table", "write_metrics"]


class Evaluation(NamedTuple):
    """Metrics by name, and the predictions that they summarize (None without a test object)."""

    metrics: dict[str, float]
    predictions: Predictions | None


def evaluate(
    model: Evaluable,
    test: VoxelSet,
    train: VoxelSet | Sequence[VoxelSet],
    *,
    seed: int,
    batch_size: int,
    max_train: int,
    rotations: str = "so3",
    groups: Mapping[str, Sequence[str]] | None = None,
    thorough: bool = False,
    symmetries: Sequence[str] = (),
) -> Evaluation:
    """Returns the metrics and predictions of a model on a split.

    Test objects whose voxels also occur in training are removed first. Metrics that are undefined
    are left out: with no test object left only the counts (`data/...`) remain; classification
    needs two classes (the linear probe in training, too), category frames need aligned data.

    Args:
        model: the model; its canonical form of a view x is taken to be rotate(x, rotation^T).
        test: the split to evaluate.
        train: what the model was trained on (and may have been chosen on), for the removal of
            duplicates and for the linear probe.
        seed: of the views and of the choice of the probe's training objects.
        batch_size: objects at a time; the last batch is padded. Results do not depend on it.
        max_train: the linear probe learns from at most so many training objects; 0 for no probe.
        rotations: how objects are turned, as in `config.data.rotations`: "so3" (uniform), "cube"
            (its 24 rotations) or "none".
        groups: classes to pool besides, e.g. {"oriented": ("bed", "chair")}, under
            `.../group/NAME`; see `summarize`.
        thorough: whether to add what takes longer; see `rotdis.thorough`.
        symmetries: of classes, as in `config.eval.symmetries`; for the thorough evaluation.

    Raises:
        DataError: the splits differ in resolution or classes.
        RotdisError: the model's output is not finite.
        ValueError: a symmetry is not of a known form.
    """
    train = [train] if isinstance(train, VoxelSet) else list(train)
    _check_alike(test, train)
    duplicate = np.zeros(len(test), bool)
    for split in train:
        duplicate |= voxelset.duplicates(test, split)
    kept = np.flatnonzero(~duplicate)
    metrics = {
        "data/test_objects": len(kept),
        "data/test_duplicates_removed": int(duplicate.sum()),
    }
    if not len(kept):
        return Evaluation(metrics, None)
    views = {"seed": seed, "batch_size": batch_size, "rotations": rotations}
    predictions = collect.predict(model, test, kept, **views)
    predictions = _compare_codes(predictions, voxelset.digests(test.select(kept)))
    order = np.random.default_rng(seed).permutation(sum(map(len, train)))
    place = np.sort(order[: max(max_train, 0)])
    learned = None
    if len(place):
        chosen = _gather(train, place)
        learned = Learned(chosen, place, collect.encode_views(model, chosen, place, **views))
        predictions = _probe(predictions, learned)
    if thorough:
        from rotdis.thorough import examine  # needs scikit-learn, which training does without

        predictions = examine(model, test, predictions, learned, symmetries, **views)
    return Evaluation(metrics | summarize(predictions, groups), predictions)


def _check_alike(test: VoxelSet, train: Sequence[VoxelSet]) -> None:
    for split in train:
        if split.resolution != test.resolution:
            raise DataError(
                f"the test split has resolution {test.resolution}, a training split "
                f"{split.resolution}: evaluate on data prepared for the model's resolution"
            )
        if split.class_names != test.class_names:
            raise DataError(
                f"the test split has the classes {', '.join(test.class_names)}, a training split "
                f"{', '.join(split.class_names)}: prepare both from one source"
            )


def _compare_codes(predictions: Predictions, digests: Sequence[bytes]) -> Predictions:
    """Adds what compares the codes of different test objects, where there are different ones.

    Objects of one digest are copies of each other: the nearest neighbour is none of them.
    """
    if len(predictions) < 2:
        return predictions
    one, two = np.moveaxis(predictions.z_mean.astype(np.float64), 1, 0)
    identity = np.unique(digests, return_inverse=True)[1]
    comparable = len(np.unique(predictions.label)) > 1 and identity.max() > 0
    between = latent.mean_distance(one)
    return dataclasses.replace(
        predictions,
        nearest=latent.nearest_neighbours(one, identity) if comparable else None,
        view_distance=np.linalg.norm(one - two, axis=1) / between if between > 0 else None,
    )


def _gather(train: Sequence[VoxelSet], place: Int[np.ndarray, " k"]) -> VoxelSet:
    """Returns the training objects at some places, in order, as one split."""
    parts, first = [], 0
    for split in train:
        parts.append(split.select(place[(place >= first) & (place < first + len(split))] - first))
        first += len(split)
    return dataclasses.replace(
        parts[0],
        packed=np.concatenate([part.packed for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        source_id=sum((part.source_id for part in parts), ()),
    )


def _probe(predictions: Predictions, learned: Learned) -> Predictions:
    """Adds the classes told by a linear probe that learned from the training objects."""
    labels = learned.split.label
    if len(np.unique(predictions.label)) < 2 or len(np.unique(labels)) < 2:
        return predictions
    told = latent.linear_probe(learned.seen.z_mean, labels, predictions.z_mean[:, 0])
    return dataclasses.replace(predictions, probe_label=told)
