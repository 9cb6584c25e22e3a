"""New shapes and poses from a trained model: between two shapes, around an axis, from the prior.

Codes of the prior are `Model.sample`'s. Everything here is NumPy in and out; pictures and meshes of
it are made in `rotdis.gallery`.
"""

import operator

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from rotdis.geometry import so3
from rotdis.inference import Model


def interpolate(
    start: Float[np.ndarray, " l"], end: Float[np.ndarray, " l"], steps: int
) -> Float[np.ndarray, "steps l"]:
    """Returns codes from `start` to `end`, both included.

    Spherical: the direction moves on the great circle and the norm linearly. The prior is
    Gaussian, so in L dimensions codes lie near a sphere of radius sqrt(L), and the middle of the
    straight line between two of them, shorter by sqrt(2), is a code that the decoder hardly ever
    saw (White, "Sampling Generative Networks", 2016). Between codes of one direction, of opposite
    ones or where one is zero, no great circle is singled out, and the line is taken.

    Raises:
        ValueError: fewer than two steps, or codes of different sizes.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    if steps < 2 or start.shape != end.shape or start.ndim != 1:
        raise ValueError(
            f"interpolate takes two codes (L,) and at least 2 steps, not {start.shape}, "
            f"{end.shape} and {steps}"
        )
    share = np.linspace(0, 1, steps)[:, None]
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    angle = np.arccos(np.clip(start @ end / max(np.prod(lengths), 1e-12), -1, 1))
    if min(lengths) < 1e-6 or np.sin(angle) < 1e-6:
        return ((1 - share) * start + share * end).astype(np.float32)
    length = (1 - share) * lengths[0] + share * lengths[1]
    direction = (
        np.sin((1 - share) * angle) * start / lengths[0] + np.sin(share * angle) * end / lengths[1]
    ) / np.sin(angle)
    return (length * direction).astype(np.float32)


def between(
    model: Model,
    first: Float[np.ndarray, "d d d"],
    second: Float[np.ndarray, "d d d"],
    steps: int,
) -> Float[np.ndarray, "steps d d d"]:
    """Returns shapes that lead from one object to another, all in the canonical frame.

    Args:
        model: the trained model.
        first: a normalized object in any orientation.
        second: the other.
        steps: how many shapes; the first and the last are the objects' own reconstructions.

    Returns:
        Occupancy probabilities. The objects' orientations have no part in them.

    Raises:
        ValueError: the grids are not of the model's resolution, or fewer than two steps.
    """
    start, end = model.encode(np.stack([first, second])).z_mean
    codes = interpolate(start, end, steps)
    return decode_at(model, codes, np.eye(3)[None])[:, 0]


def decode_at(
    model: Model, z: Float[np.ndarray, "n l"], rotations: Float[np.ndarray, "r 3 3"]
) -> Float[np.ndarray, "n r d d d"]:
    """Returns every shape at every rotation, as occupancy probabilities.

    A model without a pose (`pose.method="none"`) turns nothing: its shapes come out all alike.

    Raises:
        ValueError: the shapes are not (N, L) and (R, 3, 3), or the matrices no rotations.
    """
    z, rotations = np.asarray(z, np.float32), np.asarray(rotations, np.float32)
    if z.ndim != 2 or rotations.ndim != 3:
        raise ValueError(
            f"decode_at takes codes (N, L) and rotations (R, 3, 3), not {z.shape} and "
            f"{rotations.shape}"
        )
    voxels = model.decode(np.repeat(z, len(rotations), axis=0), np.tile(rotations, (len(z), 1, 1)))
    return voxels.reshape(len(z), len(rotations), *voxels.shape[1:])


def full_turn(axis: Float[np.ndarray, " 3"], steps: int) -> Float[np.ndarray, "steps 3 3"]:
    """Returns `steps` rotations about an axis, evenly spaced, the identity first.

    The last is one step short of the full turn, so that they repeat without a halt. On an object
    with the rotation R, the turn is `full_turn(axis, steps) @ R`.

    Raises:
        TypeError: the steps are no whole number.
        ValueError: the axis has no direction, or there is no step.
    """
    axis, steps = np.asarray(axis, np.float64), operator.index(steps)
    length = np.linalg.norm(axis)
    if axis.shape != (3,) or not 0 < length < np.inf or steps < 1:
        raise ValueError(
            "full_turn takes an axis (3,) that is not zero, and at least 1 step, not "
            f"{axis} and {steps}"
        )
    angles = 2 * np.pi * np.arange(steps) / steps
    return Rotation.from_rotvec(angles[:, None] * axis / length).as_matrix().astype(np.float32)


def geodesic(
    start: Float[np.ndarray, "3 3"], end: Float[np.ndarray, "3 3"], steps: int
) -> Float[np.ndarray, "steps 3 3"]:
    """Returns rotations from `start` to `end`, both included, on the shortest way at even speed.

    Half a turn apart there are two shortest ways; one of them is taken.

    Raises:
        ValueError: fewer than two steps, or matrices that are no rotations.
    """
    if steps < 2:
        raise ValueError(f"geodesic takes at least 2 steps, not {steps}")
    start = np.asarray(start, np.float64)
    so3.require_rotations(np.stack([start, end]))
    way = Rotation.from_matrix(start.T @ np.asarray(end, np.float64)).as_rotvec()
    part = Rotation.from_rotvec(np.linspace(0, 1, steps)[:, None] * way)
    return (start @ part.as_matrix()).astype(np.float32)
