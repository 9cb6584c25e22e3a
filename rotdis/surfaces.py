"""Occupancy as a mesh: where reconstructed and generated shapes leave for other programs."""

from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float
from skimage import measure

from rotdis import atomic
from rotdis.data import normalize
from rotdis.mesh_files import FORMATS
from rotdis.mesh_moving import encoded

_NEAR_LEVEL = 1e-5


def surface(occupancy: Float[np.ndarray, "d d d"], radius: float = 1.0) -> trimesh.Trimesh:
    """Returns the surface at 0.5 by marching cubes, about the origin.

    Args:
        occupancy: on a normalized grid.
        radius: that of the object's smallest enclosing ball, in the units wanted.

    Returns:
        A closed mesh with outward normals, axes (x, y, z); an empty one where nothing exceeds 0.5.

    Raises:
        ValueError: the grid is not cubic or not finite, or the radius not positive and finite.
    """
    occupancy = np.asarray(occupancy)
    cubic = occupancy.ndim == 3 and len(set(occupancy.shape)) == 1 and occupancy.size > 0
    if not cubic or not np.isfinite(occupancy).all() or not 0 < radius < np.inf:
        raise ValueError(
            f"surface takes a finite grid (D, D, D) and a positive radius, not {occupancy.shape} "
            f"and {radius}"
        )
    size = len(occupancy)
    if occupancy.max() <= 0.5:
        return trimesh.Trimesh()
    padded = np.pad(occupancy, 1).astype(np.float32)
    # A voxel of the very level would be a corner of many triangles, and the surface not closed.
    padded[np.abs(padded - 0.5) < _NEAR_LEVEL] = 0.5 + _NEAR_LEVEL
    # Where 0 and 1 meet crosswise the level would lie just in the middle, a tie that cubes beside
    # each other may break differently.
    padded[padded < 0.5] -= _NEAR_LEVEL
    vertices, faces, _, _ = measure.marching_cubes(padded, 0.5, allow_degenerate=False)
    # Wound the other way round, the faces' normals point outwards. Scaled once it is closed: what
    # trimesh takes for one vertex does not depend on the size.
    mesh = trimesh.Trimesh(vertices - 1 - (size - 1) / 2, faces[:, ::-1])
    return mesh.apply_scale(radius / (normalize.RADIUS_FRACTION * size / 2))


def save(mesh: trimesh.Trimesh, path: str | Path) -> bool:
    """Writes a mesh in the format of the path's suffix, whole or not at all.

    Returns:
        Whether there was anything to write: an empty mesh leaves no file.

    Raises:
        ValueError: the suffix is of none of `mesh_files.FORMATS`.
    """
    path = Path(path)
    if path.suffix[1:].lower() not in FORMATS:
        raise ValueError(f"{path}: name it {', '.join(f'.{name}' for name in FORMATS)}")
    if not len(mesh.faces):
        return False
    atomic.write(path, encoded(mesh, path.suffix[1:].lower()))
    return True
