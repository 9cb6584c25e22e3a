"""Objects compared without their proportions: stretched along the grid's axes towards one box.

A tall cupboard overlaps a broad one best when one of the two lies on its side. Stretched until both
fill the same box, they differ by what tells which way is up: feet, a plinth, where the doors are.
Stretched half-way there, proportions still count, and less. The frames of canonical forms, whose
faces are parallel to the grid, have the axes for it; a rotation of the cube only permutes these.
"""

import numpy as np
from jaxtyping import Num

FILLED = 13 / 16  # of the grid's side, by what is stretched all the way
_TAIL = 0.02  # of the mass, at either end of an axis, that does not count for the extent


def stretched(volumes: Num[np.ndarray, "n d d d"], amount: float) -> Num[np.ndarray, "n d d d"]:
    """Returns volumes stretched about the middle of their extent along each axis, and centred.

    Args:
        volumes: occupancy, in any unit.
        amount: 1 for extents that are all the same, 0 for unchanged ones; between the two the
            factor's logarithm is proportional to it.
    """
    side = volumes.shape[1]
    centres = np.arange(side) - (side - 1) / 2
    matrices = []
    for axis in (1, 2, 3):
        others = tuple({1, 2, 3} - {axis})
        start, end = _extents(volumes.sum(axis=others, dtype=np.float64))
        half = np.maximum((end - start) / 2, 0.5)  # voxels
        scale = (half / (FILLED * side / 2)) ** amount
        source = centres * scale[:, None] + (start + end)[:, None] / 2
        # Linear interpolation: the weight of every voxel in each sample.
        distance = np.abs(source[:, :, None] - np.arange(side))
        matrices.append(np.maximum(0, 1 - distance).astype(np.float32))
    result = np.empty_like(volumes)
    for one, x, y, z, grid in zip(result, *matrices, volumes, strict=True):
        samples = np.einsum("xa,yb,zc,abc->xyz", x, y, z, grid, optimize="greedy")
        one[:] = np.rint(samples) if result.dtype == np.uint8 else samples
    return result


def _extents(mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns where along an axis an object's mass (N, D) begins and ends, but for its tails."""
    side = mass.shape[1]
    below = np.pad(np.cumsum(mass + 1e-9, axis=1), ((0, 0), (1, 0)))  # of nothing, the whole grid
    borders = np.arange(side + 1) - 0.5
    shares = np.array([_TAIL, 1 - _TAIL])
    return np.array([np.interp(shares * each[-1], each, borders) for each in below]).T
