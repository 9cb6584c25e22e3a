"""How well voxels are reproduced: part of evaluate, for one object each, on the device.

Results are counts and sums of one object, so whoever calls decides how objects are averaged, and
batches merge exactly.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

THRESHOLD = 0.5  # a voxel counts as occupied strictly above it, as in `voxelset.pack`


class Confusion(NamedTuple):
    """Numbers of voxels, of one object (scalars) or of several (arrays of one shape)."""

    true_positive: Int[Array | np.ndarray, "*n"]
    false_positive: Int[Array | np.ndarray, "*n"]
    false_negative: Int[Array | np.ndarray, "*n"]
    true_negative: Int[Array | np.ndarray, "*n"]


def confusion(target: Float[Array, "d d d"], prediction: Float[Array, "d d d"]) -> Confusion:
    """Counts one object's voxels by whether target and prediction are occupied."""
    truth, guess = target > THRESHOLD, prediction > THRESHOLD

    def count(voxels: Bool[Array, "d d d"]) -> Int[Array, ""]:
        return jnp.sum(voxels, dtype=jnp.int32)

    return Confusion(
        count(truth & guess), count(~truth & guess), count(truth & ~guess), count(~truth & ~guess)
    )


def squared_error(
    target: Float[Array, "d d d"], prediction: Float[Array, "d d d"]
) -> Float[Array, ""]:
    """Returns the squared error summed over one object's voxels, in float32."""
    return jnp.sum((target.astype(jnp.float32) - prediction.astype(jnp.float32)) ** 2)


def iou(counts: Confusion) -> Float[np.ndarray, "*n"]:
    """Returns each object's intersection over union; 1 where both grids are empty."""
    intersection = np.asarray(counts.true_positive, np.float64)
    union = intersection + counts.false_positive + counts.false_negative
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def true_positive_rate(counts: Confusion) -> float | None:
    """Returns the share of occupied voxels that were found, pooled over all objects' voxels.

    None where no voxel is occupied.
    """
    return _share(counts.true_positive, counts.false_negative)


def true_negative_rate(counts: Confusion) -> float | None:
    """Returns the share of empty voxels left empty, pooled; None where no voxel is empty."""
    return _share(counts.true_negative, counts.false_positive)


def _share(right: Int[np.ndarray, "*n"], wrong: Int[np.ndarray, "*n"]) -> float | None:
    right, wrong = int(np.sum(right, dtype=np.int64)), int(np.sum(wrong, dtype=np.int64))
    return right / (right + wrong) if right + wrong else None
