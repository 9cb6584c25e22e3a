"""Shows a model the views of objects and keeps what it says: evaluate's passes over the data.

Each object's view rotations are random and depend on the seed and on the object's place in its
split, on nothing else. Reconstructions are measured on the device batch by batch, so none is kept.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.spatial.transform import Rotation

from rotdis import objective
from rotdis.data.voxelset import VoxelSet
from rotdis.errors import RotdisError
from rotdis.geometry import resample
from rotdis.metrics import pose, reconstruction
from rotdis.metrics.summary import Predictions

TEST, TRAIN = 0, 1  # streams of view rotations: test and training objects share none


class Code(Protocol):
    """What a model says of a batch: shape code and rotation."""

    @property
    def z_mean(self) -> Float[Array, "b l"]: ...

    @property
    def z_logvar(self) -> Float[Array, "b l"]: ...

    @property
    def rotation(self) -> Float[Array, "b 3 3"]: ...


class Evaluable(Protocol):
    """A trained model as evaluation sees it; it is always called with the same batch size."""

    def encode(self, voxels: Float[Array, "b d d d"], /) -> Code: ...

    def decode(
        self, z_mean: Float[Array, "b l"], rotation: Float[Array, "b 3 3"], /
    ) -> Float[Array, "b d d d"]: ...


@functools.partial(jax.jit, static_argnames=("rotations",))
def see(
    voxels: Float[Array, "b d d d"],
    index: Int[Array, " b"],
    seed: int,
    stream: int,
    rotations: str,
) -> tuple[Float[Array, "2 b d d d"], Float[Array, "2 b 3 3"]]:
    """Returns two views of every object and the rotations Q that made them.

    Args:
        voxels: objects in the source's orientation.
        index: each one's place in its stream.
        seed: with stream and place, all that decides on an object's rotations.
        stream: `TEST` or `TRAIN`.
        rotations: from where they are drawn, as in `objective.make_views`.
    """
    key = jax.random.fold_in(jax.random.key(seed), stream)
    keys = jax.vmap(functools.partial(jax.random.fold_in, key))(index)
    return objective.make_views(voxels, keys, rotations)


def uniform_turns(
    index: Int[np.ndarray, " n"], seed: int, stream: int
) -> Float[np.ndarray, "n 3 3"]:
    """Returns a uniformly random rotation of each object, whatever `see` draws them from."""
    drawn = [Rotation.random(rng=np.random.default_rng((seed, stream, i))) for i in index]
    return np.stack([rotation.as_matrix() for rotation in drawn]).astype(np.float32)


def predict(
    model: Evaluable,
    split: VoxelSet,
    index: Int[np.ndarray, " n"],
    *,
    seed: int,
    batch_size: int,
    rotations: str,
) -> Predictions:
    """Passes two views of each of the chosen objects (at least one) through the model.

    Raises:
        RotdisError: the model's output is not finite.
    """
    batches = []
    for batch in padded(index, batch_size):
        (x1, x2), views = see(split.voxels(batch), batch, seed, TEST, rotations)
        one, two = model.encode(x1), model.encode(x2)
        # Before anything is decoded, which takes rotations alone.
        _check_finite(split, batch, *(np.asarray(c.rotation) for c in (one, two)))
        own = model.decode(one.z_mean, one.rotation)
        other = model.decode(two.z_mean, one.rotation)
        said = [(c.z_mean, c.z_logvar, c.rotation) for c in (one, two)]
        measured = _measure(x1, x2, own, other, one.rotation, two.rotation)
        batches.append(jax.tree.map(np.asarray, (tuple(views), said, measured)))
    # All padding is at the very end, behind the objects asked for.
    views, said, measured = jax.tree.map(
        lambda *parts: np.concatenate(parts)[: len(index)].astype(_host_type(parts[0])), *batches
    )
    views = np.stack(views, axis=1)
    z_mean, z_logvar, inferred = (np.stack(pair, axis=1) for pair in zip(*said, strict=True))
    counts, canonical_counts, sse, sse_other_view = measured
    _check_finite(split, index, z_mean, z_logvar, inferred, sse, sse_other_view)
    return Predictions(
        class_names=split.class_names,
        aligned=split.aligned,
        source_id=tuple(split.source_id[i] for i in index),
        index=index,
        label=split.label[index],
        views=views,
        rotations=inferred,
        z_mean=z_mean,
        counts=counts,
        sse=sse,
        sse_other_view=sse_other_view,
        instance_iou=_iou_where_occupied(canonical_counts),
        pair_error=pose.pair_error(views, inferred),
    )


class Seen(NamedTuple):
    """What a model says of one view of each object.

    Attributes:
        turns: the rotation Q that made the view from the source's orientation.
        z_mean: its shape code.
        rotations: the rotation R that the model inferred.
    """

    turns: Float[np.ndarray, "n 3 3"]
    z_mean: Float[np.ndarray, "n l"]
    rotations: Float[np.ndarray, "n 3 3"]


class Learned(NamedTuple):
    """The training objects that probes learn from, and what a model says of a view of each.

    Attributes:
        split: the objects.
        place: each one's place among all training objects.
        seen: what the model says of them.
    """

    split: VoxelSet
    place: Int[np.ndarray, " n"]
    seen: Seen


def encode_views(
    model: Evaluable,
    split: VoxelSet,
    place: Int[np.ndarray, " n"],
    *,
    seed: int,
    batch_size: int,
    rotations: str,
) -> Seen:
    """Passes a random view of each training object of a split (at least one) through the model.

    `place` is each one's place among all training objects.
    """
    index = np.arange(len(split))
    seen = []
    for batch in padded(index, batch_size):
        (x1, _), (turns, _) = see(split.voxels(batch), place[batch], seed, TRAIN, rotations)
        seen.append(_encode(model, x1, turns))
    return _joined(split, index, seen)


def encode_turned(
    model: Evaluable,
    split: VoxelSet,
    index: Int[np.ndarray, " n"],
    turns: Float[np.ndarray, "n 3 3"],
    *,
    batch_size: int,
) -> Seen:
    """Passes the chosen objects (at least one), each turned by a given rotation, to the model."""
    seen = []
    for rows in padded(np.arange(len(index)), batch_size):
        turned = _turn(split.voxels(index[rows]), turns[rows])
        seen.append(_encode(model, turned, turns[rows]))
    return _joined(split, index, seen)


def turned_reconstructions(
    model: Evaluable, split: VoxelSet, index: Int[np.ndarray, " n"], *, seed: int, batch_size: int
) -> tuple[reconstruction.Confusion, Float[np.ndarray, " n"]]:
    """Measures what a model of aligned objects makes of them where both are turned alike.

    Of each chosen object (at least one) it sees the object in the source's orientation. Object and
    reconstruction are then turned by the rotation of the first view that `predict` shows where
    objects are turned at random: the target is that view, to the bit.

    Returns:
        Counts and squared errors, as `Predictions.counts` and `Predictions.sse`.
    """
    batches = []
    for batch in padded(index, batch_size):
        objects = split.voxels(batch)
        (target, _), (turns, _) = see(objects, batch, seed, TEST, "so3")
        code = model.encode(objects)
        own = _turn(model.decode(code.z_mean, code.rotation), turns)
        batches.append(jax.tree.map(np.asarray, _compare(target, own)))
    counts, sse = jax.tree.map(lambda *parts: np.concatenate(parts)[: len(index)], *batches)
    _check_finite(split, index, sse)
    return counts, sse


@jax.jit
@jax.vmap
def _compare(
    target: Float[Array, "d d d"], own: Float[Array, "d d d"]
) -> tuple[reconstruction.Confusion, Float[Array, ""]]:
    return reconstruction.confusion(target, own), reconstruction.squared_error(target, own)


@jax.jit
def _turn(voxels: Float[Array, "b d d d"], turns: Float[Array, "b 3 3"]) -> Float[Array, "b d d d"]:
    return jax.vmap(resample.rotate)(voxels[..., None], turns)[..., 0]


def _encode(model: Evaluable, x: Float[Array, "b d d d"], turns: Float[Array, "b 3 3"]) -> Seen:
    code = model.encode(x)
    return Seen(np.asarray(turns), np.asarray(code.z_mean), np.asarray(code.rotation))


def _joined(split: VoxelSet, index: Int[np.ndarray, " n"], seen: list[Seen]) -> Seen:
    """Joins batches without the padding at the end."""
    whole = Seen(
        *(np.concatenate(p)[: len(index)].astype(np.float32) for p in zip(*seen, strict=True))
    )
    _check_finite(split, index, whole.z_mean, whole.rotations)
    return whole


@jax.jit
@jax.vmap
def _measure(
    x1: Float[Array, "d d d"],
    x2: Float[Array, "d d d"],
    own: Float[Array, "d d d"],
    other: Float[Array, "d d d"],
    rotation1: Float[Array, "3 3"],
    rotation2: Float[Array, "3 3"],
) -> tuple[reconstruction.Confusion, reconstruction.Confusion, Float[Array, ""], Float[Array, ""]]:
    """Returns counts of view 1, counts of the two canonical forms, and both squared errors."""
    canonical1, canonical2 = (
        resample.rotate(x[..., None], r.T)[..., 0] for x, r in ((x1, rotation1), (x2, rotation2))
    )
    return (
        reconstruction.confusion(x1, own),
        reconstruction.confusion(canonical1, canonical2),
        reconstruction.squared_error(x1, own),
        reconstruction.squared_error(x1, other),
    )


def _iou_where_occupied(counts: reconstruction.Confusion) -> Float[np.ndarray, " n"]:
    """Returns the IoU of two grids, NaN where both are empty: there nothing could disagree.

    A thin part blurs when it is turned and turned back, at low resolutions below the threshold.
    """
    occupied = counts.true_positive + counts.false_positive + counts.false_negative
    return np.where(occupied > 0, reconstruction.iou(counts), np.nan)


def padded(index: Int[np.ndarray, " n"], batch_size: int) -> Iterator[Int[np.ndarray, " b"]]:
    """Yields batches of one size; the last one repeats its last object as often as needed."""
    for start in range(0, len(index), batch_size):
        batch = index[start : start + batch_size]
        yield np.pad(batch, (0, batch_size - len(batch)), mode="edge")


def _host_type(array: np.ndarray) -> type:
    """Returns int32 for counts and float32 for everything else, bfloat16 among it."""
    return np.int32 if np.issubdtype(array.dtype, np.integer) else np.float32


def _check_finite(split: VoxelSet, index: Int[np.ndarray, " n"], *outputs: np.ndarray) -> None:
    """`index` may name an object several times: under several rotations, or as padding."""
    bad = np.zeros(len(index), bool)
    for output in outputs:
        bad |= ~np.isfinite(output.reshape(len(index), -1)).all(axis=1)
    if bad.any():
        count, of = len(np.unique(index[bad])), len(np.unique(index))
        raise RotdisError(
            f"the model's output is not finite for {count} of {of} objects (the first: "
            f"{split.source_id[index[np.argmax(bad)]]}): its training has diverged; lower the "
            "learning rate, or evaluate an earlier checkpoint"
        )
