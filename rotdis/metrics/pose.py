"""How well rotations are found: part of evaluate, on the host, angles in degrees.

An object in the source's orientation, turned by Q, is the view x; the model says that x is its
canonical form turned by R. No absolute R is right or wrong, only two of them together are.
"""

import jax
import numpy as np
from jaxtyping import Float, Int

from rotdis.geometry import so3

_BLOCK = 2**14  # pairs at a time: one compilation and bounded memory for any number of pairs
_distance = jax.jit(so3.geodesic_distance)


def angles(
    a: Float[np.ndarray, "*n 3 3"], b: Float[np.ndarray, "*n 3 3"]
) -> Float[np.ndarray, "*n"]:
    """Returns the angle between each rotation of `a` and that of `b`."""
    every = np.arange(int(np.prod(a.shape[:-2])))
    flat = _angles(a.reshape(-1, 3, 3), b.reshape(-1, 3, 3), every, every)
    return flat.reshape(a.shape[:-2])


def pair_error(
    views: Float[np.ndarray, "n 2 3 3"], rotations: Float[np.ndarray, "n 2 3 3"]
) -> Float[np.ndarray, " n"]:
    """Returns the angle between the inferred and the true relative rotation of two views.

    Args:
        views: the rotations Q1, Q2 that made an object's two views.
        rotations: the rotations R1, R2 inferred from them; perfect where R2 R1^T = Q2 Q1^T.
    """
    return angles(_relative(rotations), _relative(views))


def frames(
    views: Float[np.ndarray, "n 3 3"], rotations: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, "n 3 3"]:
    """Returns F = Q^T R: how the canonical form lies in the source's own orientation.

    Where the source is aligned, a model that gives a class one canonical pose gives one F.
    """
    return np.swapaxes(views, -1, -2) @ rotations


def pairwise_angles(frames: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, " n*(n-1)/2"]:
    """Returns the angles between all pairs of different objects' frames."""
    return _angles(frames, frames, *np.triu_indices(len(frames), 1))


def all_angles(
    a: Float[np.ndarray, "n 3 3"], b: Float[np.ndarray, "m 3 3"]
) -> Float[np.ndarray, "n m"]:
    """Returns the angle between each rotation of `a` and each of `b`."""
    i, j = np.indices((len(a), len(b)))
    return _angles(a, b, i.reshape(-1), j.reshape(-1)).reshape(i.shape)


def accuracy(angles: Float[np.ndarray, " n"], limit: float) -> float:
    """Returns the share of angles below `limit` degrees."""
    return float(np.mean(angles < limit))


def _relative(rotations: Float[np.ndarray, "n 2 3 3"]) -> Float[np.ndarray, "n 3 3"]:
    return rotations[:, 1] @ np.swapaxes(rotations[:, 0], -1, -2)


def _angles(
    a: Float[np.ndarray, "n 3 3"],
    b: Float[np.ndarray, "m 3 3"],
    i: Int[np.ndarray, " p"],
    j: Int[np.ndarray, " p"],
) -> Float[np.ndarray, " p"]:
    """Returns the angles between a[i] and b[j]."""
    angles = np.empty(len(i))
    for start in range(0, len(i), _BLOCK):
        block = slice(start, start + _BLOCK)
        left, right = np.zeros((2, _BLOCK, 3, 3), np.float32)
        used = len(i[block])
        left[:used], right[:used] = a[i[block]], b[j[block]]
        # Accelerators multiply matrices in fewer digits by default: up to half a degree here.
        with jax.default_matmul_precision("highest"):
            angles[block] = np.rad2deg(np.asarray(_distance(left, right))[:used])
    return angles
