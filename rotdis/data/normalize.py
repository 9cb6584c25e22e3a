"""Brings any object, at the end of the data stage, to the place and size that the model knows.

The smallest enclosing ball's centre goes to the grid's centre and its radius to `RADIUS_FRACTION`
of half the side: a ball turns with its object, a box does not, and no rotation clips it.
"""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Num
from scipy import ndimage

from rotdis.errors import DataError

if TYPE_CHECKING:
    import trimesh

# Radius of an object's smallest enclosing ball over half the grid's side.
RADIUS_FRACTION = 0.95

# Fainter voxels say nothing of where an object ends: the tails of interpolation, a decoder's noise.
FAINTEST = 0.02
# A grid of the right size whose ball is nearer than this (voxels) is taken as it is.
_TOLERANCE = 0.75


def normalize(
    source: "Num[np.ndarray, 'a b c'] | trimesh.Trimesh | str | Path", resolution: int
) -> Float[np.ndarray, "d d d"]:
    """Returns any object as the model's input.

    Args:
        source: a grid of any size, axes (x, y, z), see `normalize_grid`; a `trimesh.Trimesh` or
            a `trimesh.Scene`; or the path of a mesh file.
        resolution: D, the grid's side in voxels.

    Returns:
        Anti-aliased occupancy in [0, 1], float32 (D, D, D).

    Raises:
        DataError: the grid is empty, not three-dimensional, or not finite.
        MeshError: the mesh is damaged or encloses no volume.
        ValueError: the resolution is not positive.
    """
    if hasattr(source, "geometry") or (hasattr(source, "faces") and hasattr(source, "vertices")):
        from rotdis.data import meshes, voxelize

        return voxelize.voxelize_part(meshes.clean_mesh(source).mesh, resolution)
    if isinstance(source, str | Path):
        from rotdis.data import meshes, voxelize

        return voxelize.voxelize_part(meshes.load_mesh(source).mesh, resolution)
    grid = np.asarray(source)
    if grid.dtype == object:
        raise DataError(f"a {type(source).__name__} is neither a mesh nor a grid")
    return normalize_grid(grid, resolution)


def normalize_grid(grid: Num[np.ndarray, "a b c"], resolution: int) -> Float[np.ndarray, "d d d"]:
    """Scales and shifts a grid, so that its object's smallest enclosing ball lies as it should.

    Trilinear where it grows; where it shrinks, the trilinear interpolation is averaged over each
    new voxel, so that nothing thin is lost and nothing aliases. A grid that already lies so, within
    0.75 voxels, is returned as it is: resampling would only blur it.

    Args:
        grid: occupancy (a, b, c), any sides; booleans, integers (occupied where positive), or
            floats (clipped to [0, 1]).
        resolution: D, the new side in voxels.

    Returns:
        Occupancy in [0, 1], float32 (D, D, D). A grid turned by a rotation of the cube gives
        exactly the turned result.

    Raises:
        DataError: the grid is empty, not three-dimensional, or not finite.
        ValueError: the resolution is not positive.
    """
    if resolution < 1:
        raise ValueError(f"a resolution of {resolution} has no voxels")
    occupancy = _occupancy(grid)
    centre, radius = _ball_of_grid(occupancy)
    middle = (np.array(occupancy.shape) - 1) / 2
    target = RADIUS_FRACTION * resolution / 2
    offset = np.linalg.norm(centre - middle) + abs(radius - target)
    if occupancy.shape == (resolution,) * 3 and offset < _TOLERANCE:
        return occupancy.astype(np.float32)
    step = radius / target
    matrices = [
        _resampling(size, resolution, step, axis_centre)
        for size, axis_centre in zip(occupancy.shape, centre, strict=True)
    ]
    # Trilinear interpolation on axes that are parallel is one linear map an axis.
    resampled = np.einsum("xi,yj,zk,ijk->xyz", *matrices, occupancy, optimize="greedy")
    return np.clip(resampled, 0, 1).astype(np.float32)


def enclosing_ball(
    points: Float[np.ndarray, "n 3"],
) -> tuple[Float[np.ndarray, " 3"], float]:
    """Returns centre and radius of the smallest ball that contains all points, exact to rounding.

    The ball of a few points is grown by the point farthest outside until there is none, as in
    Gaertner, "Fast and robust smallest enclosing balls" (ESA 1999); the few are at most five, so
    their ball is found by trying their subsets, which needs no care with degenerate positions.

    Raises:
        DataError: there are no points, or some are not finite.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    if not len(points) or not np.isfinite(points).all():
        raise DataError("the smallest enclosing ball needs points, all of them finite")
    # Near the origin and of size one: differences are then exact, and squares do not overflow.
    low, high = points.min(axis=0) / 2, points.max(axis=0) / 2
    scale = (high - low).max()
    if scale == 0:
        return points[0].copy(), 0.0
    unit = (points / 2 - (low + high) / 2) / scale

    support = unit[:1]
    centre, radius = support[0], 0.0
    while True:
        distance = np.linalg.norm(unit - centre, axis=1)
        farthest = distance.argmax()
        if distance[farthest] <= radius * (1 + 1e-12) + 1e-14:
            break
        grown = _ball_of_few(np.concatenate([support, unit[farthest : farthest + 1]]))
        if grown is None or grown[1] <= radius:  # no progress beyond rounding
            break
        centre, radius, support = grown
    radius = np.linalg.norm(unit - centre, axis=1).max()
    return centre * scale * 2 + (low + high), float(radius * scale * 2)


def _ball_of_few(
    points: Float[np.ndarray, "n 3"],
) -> tuple[Float[np.ndarray, " 3"], float, Float[np.ndarray, "m 3"]] | None:
    """The smallest ball of at most five points, the last of them on it, and those that hold it."""
    best = None
    for size in range(1, 4):
        for others in itertools.combinations(range(len(points) - 1), size):
            chosen = points[[*others, len(points) - 1]]
            # |c - p_i| = |c - p_0| for all i, and c in the chosen points' plane or line.
            edges = chosen[1:] - chosen[0]
            towards = np.linalg.lstsq(edges, (edges**2).sum(axis=1) / 2, rcond=1e-10)[0]
            radius = np.linalg.norm(points - (chosen[0] + towards), axis=1).max()
            on_it = np.linalg.norm(chosen - (chosen[0] + towards), axis=1)
            if radius - on_it.min() < 1e-9 * radius and (best is None or radius < best[1]):
                best = chosen[0] + towards, radius, chosen
    return best


def _occupancy(grid: Num[np.ndarray, "a b c"]) -> Float[np.ndarray, "a b c"]:
    grid = np.asarray(grid)
    if grid.ndim != 3:
        raise DataError(
            f"a voxel grid has three axes (x, y, z), this array's shape is {grid.shape}"
        )
    if grid.dtype.kind in "biu":
        occupancy = (grid > 0).astype(np.float64)
    elif grid.dtype.kind == "f":
        if not np.isfinite(grid).all():
            raise DataError("the voxel grid holds values that are not finite (NaN or infinity)")
        occupancy = np.clip(grid.astype(np.float64), 0, 1)
    else:
        raise DataError(f"a voxel grid holds booleans, integers or floats, not {grid.dtype}")
    if not (occupancy > FAINTEST).any():
        raise DataError("the voxel grid is empty: no voxel is occupied")
    return occupancy


def _ball_of_grid(
    occupancy: Float[np.ndarray, "a b c"],
) -> tuple[Float[np.ndarray, " 3"], float]:
    """The smallest enclosing ball of the object in a grid, in voxels of it.

    A full voxel reaches half a voxel beyond its centre, and one that the surface crosses as far as
    it is full: by occupancy - 0.5, exact for a surface that faces outward along an axis.
    """
    padded = np.pad(np.where(occupancy > FAINTEST, occupancy, 0), 1)
    cross = ndimage.generate_binary_structure(3, 1)
    # A voxel whose six neighbours are as full can never be the farthest.
    outer = (padded > 0) & (ndimage.minimum_filter(padded, footprint=cross) < np.maximum(padded, 1))
    points = np.argwhere(outer) - 1.0
    reach = padded[outer] - 0.5
    centre, _ = enclosing_ball(points)
    for _ in range(3):  # the centre settles as the points move outward from it
        outward = points - centre
        distance = np.maximum(np.linalg.norm(outward, axis=1), 0.5)
        centre, radius = enclosing_ball(centre + outward * (1 + reach / distance)[:, None])
    return centre, max(radius, 0.5)


def _resampling(
    size: int, resolution: int, step: float, centre: float
) -> Float[np.ndarray, "d size"]:
    """Weights from `size` voxels to `resolution` ones of width `step`, their middle at `centre`."""
    samples = 1
    if step > 1 + 1e-9:
        samples = 2 * int(np.ceil(step - 1e-9))
    index = np.arange(resolution * samples).reshape(resolution, samples)
    place = centre + step * ((index + 0.5) / samples - resolution / 2)
    weights = np.maximum(1 - np.abs(place[:, :, None] - np.arange(size)), 0)
    return weights.mean(axis=1)
