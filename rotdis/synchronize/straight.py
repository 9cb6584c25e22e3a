"""The turn that makes an object's faces parallel to the axes, for an object that nearly is so.

Comparisons at the cube's rotations are blurred by a tilt of a few degrees, and comparing whole
objects does not take it out. Most of what people make has many faces at right angles; these agree
on a frame (Straub et al., "The Manhattan Frame Model", PAMI 2018) to a fraction of a degree. What
has few such faces stays as it is.
"""

import numpy as np
from jaxtyping import Float
from scipy import ndimage
from scipy.spatial.transform import Rotation

_SMOOTH = 2.0  # voxels: the steps of a slanted face in a grid are to vanish
_FAINTEST = 0.02  # of the gradient, by which a voxel is on the surface
_MOST = 4096  # normals of an object
# Degrees from an axis, within which a face is one of those that decide; twice each.
_REACH = (15.0, 10.0, 7.0, 5.0, 3.0, 2.0)
# Of the surface, which wants no turn: what few or round faces say counts for little.
_INERTIA = 0.02
_CLEAR = 0.05  # of the surface, which has to lie along the axes then; of a ball 0.004 does


class Faces:
    """Which way the surface of each object faces, before any turn."""

    def __init__(self, voxels: np.ndarray):
        self._faces = [_normals(grid / (255 if grid.dtype == np.uint8 else 1)) for grid in voxels]

    def straightened(
        self, rotations: Float[np.ndarray, "n 3 3"], most: float = 180.0
    ) -> Float[np.ndarray, "n 3 3"]:
        """Returns the rotations, each with a small turn after it.

        Args:
            rotations: where each object stands now.
            most: degrees; an object that would be turned by more stays as it is.
        """
        rotations = np.asarray(rotations, np.float64)
        straight = np.stack(
            [_straightened(*each, turn) for each, turn in zip(self._faces, rotations, strict=True)]
        )
        change = Rotation.from_matrix(straight @ np.swapaxes(rotations, 1, 2)).magnitude()
        return np.where((change <= np.radians(most))[:, None, None], straight, rotations)


def _normals(grid: Float[np.ndarray, "d d d"]) -> tuple[np.ndarray, np.ndarray]:
    """Returns normals (M, 3) and areas (M,), of sum 1, at voxels of the surface."""
    smooth = ndimage.gaussian_filter(grid.astype(np.float32), _SMOOTH)
    slopes = np.stack(np.gradient(smooth), axis=-1).reshape(-1, 3)
    area = np.linalg.norm(slopes, axis=1)
    kept = np.flatnonzero(area > _FAINTEST)
    kept = kept[:: -(-len(kept) // _MOST) or 1]
    return slopes[kept] / area[kept, None], area[kept] / max(area[kept].sum(), 1e-12)


def _straightened(
    normals: Float[np.ndarray, "m 3"],
    areas: Float[np.ndarray, " m"],
    turn: Float[np.ndarray, "3 3"],
) -> Float[np.ndarray, "3 3"]:
    """Least squares of the angles to the nearest axes, of nearer and nearer faces."""
    before = turn
    for reach in np.radians(np.repeat(_REACH, 2)):
        turned = normals @ turn.T
        nearest = np.abs(turned).argmax(axis=1)
        axes = np.eye(3)[nearest] * np.sign(turned)
        angles = np.arccos(np.clip(np.abs(turned).max(axis=1, initial=0), 0, 1))
        weights = areas * np.exp(-((angles / reach) ** 2) / 2)
        # A small turn w moves n by w x n: n x (w x n) shall be n x a.
        system = (weights.sum() + _INERTIA) * np.eye(3) - (weights[:, None] * turned).T @ turned
        wanted = weights @ np.cross(turned, axes)
        turn = Rotation.from_rotvec(np.linalg.solve(system, wanted)).as_matrix() @ turn
    return turn if weights.sum() > _CLEAR else before
