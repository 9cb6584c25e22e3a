"""Turns a mesh, in the data stage, into the solid occupancy of a normalized grid.

A point is inside where the generalized winding number exceeds one half (Jacobson et al., "Robust
inside-outside segmentation using generalized winding numbers", 2013; computed as Barill et al.,
"Fast winding numbers for soups and clouds", 2018), which holds up for open and intersecting meshes.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from rotdis.data import scanline, winding
from rotdis.data.meshes import MeshError
from rotdis.data.normalize import RADIUS_FRACTION, enclosing_ball

if TYPE_CHECKING:
    import trimesh

# Points whose winding number is taken at once: bounds the memory at high resolutions.
_CHUNK = 1 << 20
# Of an open mesh, faces that a sample is near to on average: bounds the time, by about a
# millisecond a sample. ModelNet's furniture has some hundreds.
_MOST_NEAR = 20_000


class NothingInside(MeshError):
    """A mesh of which no sample lies inside."""


def voxelize_part(
    mesh: "trimesh.Trimesh", resolution: int, supersample: int = 1
) -> Float[np.ndarray, "d d d"]:
    """Samples a mesh as `voxelize` does, and more finely where no sample lies inside.

    A sheet along the grid, as parts are drawn, may lie between two layers of samples, and would be
    refused, though not when it is turned. Of a closed mesh up to four times as many are taken along
    a side. (Training data are not: a faint object is nothing to learn from.)

    Raises:
        MeshError: as for `voxelize`.
    """
    for finer in (1, 2):
        try:
            return voxelize(mesh, resolution, finer * supersample)
        except NothingInside:
            if winding.open_edges(np.asarray(mesh.faces)):
                raise
    return voxelize(mesh, resolution, 4 * supersample)


def voxelize(
    mesh: "trimesh.Trimesh", resolution: int, supersample: int = 1
) -> Float[np.ndarray, "d d d"]:
    """Samples a mesh's inside on a grid in which its smallest enclosing ball is normalized.

    Args:
        mesh: as `meshes.load_mesh` and `clean_mesh` return it.
        resolution: D, the grid's side in voxels.
        supersample: s; each voxel is the mean of s^3 samples spread evenly over it.

    Returns:
        Occupancy, float32 (D, D, D), axes (x, y, z): 0 or 1 for s = 1, multiples of 1/s^3 else.

    Raises:
        NothingInside: no sample lies inside: a flat mesh, or one too thin for the resolution.
        MeshError: the mesh is empty, or open and so tangled that it would take minutes.
    """
    if resolution < 1 or supersample < 1:
        raise ValueError(f"resolution {resolution} and supersample {supersample} must be positive")
    name = mesh.metadata.get("name", "the mesh")
    vertices = mesh.vertices[np.unique(mesh.faces)] if len(mesh.faces) else np.zeros((0, 3))
    if not len(vertices):
        raise MeshError(f"{name}: the mesh has no faces")
    centre, radius = enclosing_ball(vertices)
    if radius == 0:
        raise MeshError(f"{name}: all points of the mesh are one point")
    # The ball becomes the unit ball: fast_winding_number computes in single precision.
    vertices = (np.asarray(mesh.vertices) - centre) / radius
    side = resolution * supersample
    axis = (np.arange(side) - (side - 1) / 2) / (RADIUS_FRACTION * side / 2)
    inside = _inside(vertices, np.asarray(mesh.faces), axis, name)
    if not inside.any():
        raise NothingInside(
            f"{name}: the mesh encloses no volume at resolution {resolution} "
            "(a flat or hollow surface, or one thinner than a voxel)"
        )
    blocks = inside.reshape((resolution, supersample) * 3)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)


def _inside(
    vertices: Float[np.ndarray, "v 3"], faces: np.ndarray, axis: Float[np.ndarray, " n"], name: str
) -> Bool[np.ndarray, "n n n"]:
    """Whether each point of the grid axis^3 is inside; beyond the unit ball none is."""
    if not winding.open_edges(faces):
        numbers = scanline.winding_numbers(vertices, faces, axis)
        if numbers is not None:
            return numbers != 0
    near = _near(vertices[faces])
    if near > _MOST_NEAR:
        raise MeshError(
            f"{name}: too many of its {len(faces):,} faces reach across the mesh: a point is near "
            f"{near:,.0f} of them on average, over the limit of {_MOST_NEAR:,}"
        )
    import igl

    squares = axis**2
    in_ball = squares[:, None, None] + squares[:, None] + squares <= 1
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    for dimension in range(3):
        outside = (axis < low[dimension]) | (axis > high[dimension])
        in_ball[(slice(None),) * dimension + (outside,)] = False
    candidates = np.flatnonzero(in_ball)
    inside = np.zeros(in_ball.size, dtype=bool)
    for start in range(0, len(candidates), _CHUNK):
        chunk = candidates[start : start + _CHUNK]
        points = np.stack([axis[i] for i in np.unravel_index(chunk, in_ball.shape)], axis=1)
        number = igl.fast_winding_number(vertices, faces, points)
        inside[chunk] = np.abs(number) > 0.5
    return inside.reshape(in_ball.shape)


def _near(triangles: Float[np.ndarray, "f 3 3"]) -> float:
    """How many faces a point of the unit ball is near to on average, so that each counts singly."""
    middle = triangles.mean(axis=1, keepdims=True)
    radius = np.sqrt(((triangles - middle) ** 2).sum(axis=2).max(axis=1))
    return float(np.minimum((2 * radius) ** 3, 1).sum())
