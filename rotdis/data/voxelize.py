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
from rotdis.data.normalize import FAINTEST, RADIUS_FRACTION, enclosing_ball

if TYPE_CHECKING:
    import trimesh

# Points whose winding number is taken at once: bounds the memory at high resolutions.
_CHUNK = 1 << 20
# Of an open mesh, faces that a sample is near to on average: bounds the time, by about a
# millisecond a sample. ModelNet's furniture has some hundreds.
_MOST_NEAR = 20_000


class NothingInside(MeshError):
    """A mesh that fills next to nothing of any voxel."""


def voxelize_part(
    mesh: "trimesh.Trimesh", resolution: int, supersample: int = 2
) -> Float[np.ndarray, "d d d"]:
    """Returns how much of each voxel a mesh fills, its smallest enclosing ball normalized.

    Of a closed mesh it is measured, nearly exactly (`scanline.coverage`), so that thin plates along
    the grid, as parts are drawn, weigh what they do when they are turned; samples along the grid
    (`voxelize`) may miss them or count them double. An open mesh is sampled.

    Args:
        mesh: as `meshes.load_mesh` and `clean_mesh` return it.
        resolution: D, the grid's side in voxels.
        supersample: samples along a voxel's side, of an open mesh.

    Returns:
        Occupancy, float32 (D, D, D), axes (x, y, z).

    Raises:
        NothingInside: no voxel is filled by more than a fiftieth.
        MeshError: as for `voxelize`.
        ValueError: the resolution is not positive.
    """
    if resolution < 1:
        raise ValueError(f"a resolution of {resolution} has no voxels")
    if not winding.open_edges(np.asarray(mesh.faces)):
        vertices, name = _in_unit_ball(mesh)
        edges = (np.arange(resolution + 1) - resolution / 2) / (RADIUS_FRACTION * resolution / 2)
        shares = scanline.coverage(vertices, np.asarray(mesh.faces), edges)
        if shares is not None:
            if not (shares > FAINTEST).any():
                raise _nothing_inside(name, resolution)
            return shares.astype(np.float32)
    return voxelize(mesh, resolution, supersample)


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
    vertices, name = _in_unit_ball(mesh)
    side = resolution * supersample
    axis = (np.arange(side) - (side - 1) / 2) / (RADIUS_FRACTION * side / 2)
    inside = _inside(vertices, np.asarray(mesh.faces), axis, name)
    if not inside.any():
        raise _nothing_inside(name, resolution)
    blocks = inside.reshape((resolution, supersample) * 3)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)


def _in_unit_ball(mesh: "trimesh.Trimesh") -> tuple[Float[np.ndarray, "v 3"], str]:
    """Returns the vertices, moved and scaled so that their smallest enclosing ball is the unit
    ball (fast_winding_number computes in single precision), and what messages call the mesh."""
    name = mesh.metadata.get("name", "the mesh")
    if not len(mesh.faces):
        raise MeshError(f"{name}: the mesh has no faces")
    vertices = np.asarray(mesh.vertices)
    centre, radius = enclosing_ball(vertices[np.unique(mesh.faces)])
    if radius == 0:
        raise MeshError(f"{name}: all points of the mesh are one point")
    return (vertices - centre) / radius, name


def _nothing_inside(name: str, resolution: int) -> NothingInside:
    return NothingInside(
        f"{name}: the mesh encloses no volume at resolution {resolution} "
        "(a flat or hollow surface, or one far thinner than a voxel)"
    )


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
