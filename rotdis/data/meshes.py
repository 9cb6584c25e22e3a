"""The data stage's way in: mesh files become triangle meshes that a winding number can be taken of.

CAD models from the web are rarely closed, often wound at random, and many have every face twice,
once from each side. What can be mended is mended and counted; what cannot raises `MeshError`.
"""

import codecs
import dataclasses
import io
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from rotdis.data import gltf, ply, winding
from rotdis.data.off import OffError, read_off
from rotdis.errors import RotdisError

if TYPE_CHECKING:
    import trimesh

MAX_BYTES = 1 << 30  # of a mesh file
_MOST_VOXELS = 512**3  # of a binvox file, whose few bytes may stand for any number
_MOST_COPIED_FACES = 1 << 20  # of a scene that places its parts more than once

FILE_TYPES = ("off", "obj", "stl", "ply", "glb", "gltf", "binvox")

# Relative to the longest side of the mesh's box: nearer vertices are one.
_MERGE_DISTANCE = 1e-7
# Relative to that side squared: a smaller triangle has no area.
_SMALLEST_AREA = 1e-13


class MeshError(RotdisError, ValueError):
    """A mesh that is damaged or encloses nothing; names the file, the line if known, the reason."""


@dataclasses.dataclass(frozen=True)
class LoadedMesh:
    """A mesh ready for `voxelize`, and what was odd about it.

    Attributes:
        mesh: triangles in the source's coordinates, consistently wound.
        quirks: short names, sorted. Of the file: "fused_header", "polygons", "extra_lines". Mended
            by removing faces: "degenerate_faces", "duplicate_faces", "double_sided". Mended by
            turning faces: "inconsistent_winding", "inside_out". Left alone: "open_surface",
            "loose_parts".
        counts: for each quirk how many faces it concerned (edges for "open_surface", parts for
            "loose_parts").
    """

    mesh: "trimesh.Trimesh"
    quirks: tuple[str, ...]
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


def load_mesh(
    source: str | Path | bytes, name: str | None = None, file_type: str | None = None
) -> LoadedMesh:
    """Loads a mesh and mends it.

    Memory is at most 100 bytes for each of an OFF file's, and 50 MB, whatever its header claims.

    Args:
        source: a file's path, or a file's content.
        name: what messages call the mesh; the path, unless given.
        file_type: one of `FILE_TYPES`; the suffix of the path, or else of the name, unless given.

    Raises:
        MeshError: the file cannot be read, is damaged, or holds no surface.
    """
    name = name or ("mesh" if isinstance(source, bytes) else str(source))
    file_type = file_type or Path(name if isinstance(source, bytes) else source).suffix
    file_type = file_type.lower().lstrip(".")
    if file_type not in FILE_TYPES:
        found = f"'{file_type}' is not a mesh format" if file_type else "its format is not said"
        raise MeshError(f"{name}: {found}; known are {', '.join(FILE_TYPES)}")
    if isinstance(source, bytes):
        data = source
    else:
        try:
            if (size := Path(source).stat().st_size) > MAX_BYTES:
                raise MeshError(
                    f"{name}: has {size / 2**20:,.0f} MB, over the limit of {MAX_BYTES >> 20} MB"
                )
            data = Path(source).read_bytes()
        except OSError as error:
            raise MeshError(f"{name}: cannot read the mesh: {error.strerror}") from error

    if file_type != "off":
        mesh = _load_with_trimesh(data, name, file_type)
        return _clean(mesh.vertices, mesh.faces, Counter(), name)
    try:
        return _clean(*read_off(data), name)
    except OffError as error:
        raise MeshError(f"{name}: {error}") from error


def clean_mesh(mesh: "trimesh.Trimesh | trimesh.Scene", name: str = "mesh") -> LoadedMesh:
    """Checks and mends a mesh in memory, as `load_mesh` does; the argument itself is left alone.

    The parts of a `trimesh.Scene` become one mesh.

    Raises:
        MeshError: it is no mesh, or holds no surface, or coordinates that are not finite.
    """
    if hasattr(mesh, "geometry"):
        mesh = mesh.to_mesh()
    if not hasattr(mesh, "faces"):
        raise MeshError(f"{name}: a {type(mesh).__name__} is no mesh")
    return _clean(mesh.vertices, mesh.faces, Counter(), name)


def read_binvox(data: bytes) -> "trimesh.Trimesh":
    """Returns the surface of a binvox file's voxels, in the coordinates of the voxelized mesh."""
    from trimesh.exchange import binvox

    grid = binvox.load_binvox(io.BytesIO(data))  # still run-length encoded
    if math.prod(map(int, grid.shape)) > _MOST_VOXELS:
        raise ValueError(f"a grid of {' x '.join(map(str, grid.shape))} voxels is over 512^3")
    return grid.marching_cubes.apply_transform(grid.transform)


def plain_obj(data: bytes) -> bytes:
    """Returns an OBJ file as trimesh reads it: no byte order mark, no tabs, line feeds."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data  # which trimesh decodes
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.replace(b"\t", b" ")


def _load_with_trimesh(data: bytes, name: str, file_type: str) -> "trimesh.Trimesh":
    import trimesh

    try:
        if file_type == "binvox":
            return read_binvox(data)
        if file_type == "ply":
            data = ply.triangulated(data)
        if file_type == "obj":
            data = plain_obj(data)
        if file_type in ("glb", "gltf"):
            gltf.check_readable(data, file_type)
        stream = trimesh.util.wrap_as_stream(data)
        # Without materials, whose pictures would be unpacked.
        scene = trimesh.load_scene(stream, file_type=file_type, process=False, skip_materials=True)
        placed = [scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry]
        faces = sum(len(getattr(part, "faces", ())) for part in placed)
        if faces > max(len(data), _MOST_COPIED_FACES):
            raise ValueError(f"its {len(placed):,} copies of parts have {faces:,} faces together")
        return scene.to_mesh()
    except Exception as error:  # whatever trimesh's parsers may raise on damaged input
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise MeshError(f"{name}: cannot read it as {file_type}: {reason}") from error


def _clean(
    vertices: Float[np.ndarray, "v 3"],
    faces: Int[np.ndarray, "f 3"],
    quirks: Counter[str],
    name: str,
) -> LoadedMesh:
    import trimesh

    vertices = np.asarray(vertices, dtype=np.float64).reshape(-1, 3)
    faces = np.asarray(faces, dtype=np.int64).reshape(-1, 3)
    counts = Counter(quirks)
    vertices, faces, unit = _merged(vertices, faces, name)

    def drop(keep: np.ndarray, quirk: str) -> None:
        nonlocal faces
        counts[quirk] += int((~keep).sum())
        faces = faces[keep]
        if not len(faces):
            raise MeshError(f"{name}: all faces of the mesh are degenerate, they have no area")

    drop((faces != np.roll(faces, 1, axis=1)).all(axis=1), "degenerate_faces")
    drop(winding.first_copies(faces), "duplicate_faces")
    drop(winding.front_sides(faces, len(vertices)), "double_sided")
    faces, counts["inconsistent_winding"], counts["inside_out"] = winding.orient(unit, faces)
    counts["open_surface"] = winding.open_edges(faces)
    parts = winding.count_parts(faces, len(vertices))
    counts["loose_parts"] = parts if parts > 1 else 0
    # Slivers go last: up to here they tie their neighbours' winding together.
    corners = unit[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    drop(np.linalg.norm(normal, axis=1) > 2 * _SMALLEST_AREA, "degenerate_faces")

    counts = +counts
    mesh = trimesh.Trimesh(vertices, faces, process=False, metadata={"name": name})
    mesh.remove_unreferenced_vertices()
    return LoadedMesh(mesh, tuple(sorted(counts)), dict(counts))


def _merged(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], name: str
) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "f 3"], Float[np.ndarray, "w 3"]]:
    """Makes vertices at one place one; returns them, the faces, and the vertices in a unit box."""
    if not len(faces):
        raise MeshError(f"{name}: the mesh has no faces")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise MeshError(f"{name}: a face names a vertex outside 0 to {len(vertices) - 1}")
    used, faces = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], faces.reshape(-1, 3)
    bad = ~np.isfinite(vertices).all(axis=1)
    if bad.any():
        raise MeshError(f"{name}: vertex {used[bad][0]} is not finite: {vertices[bad][0].tolist()}")
    # Halved first, so that the largest floats do not overflow.
    low, high = vertices.min(axis=0) / 2, vertices.max(axis=0) / 2
    side = (high - low).max()
    if side == 0:
        raise MeshError(f"{name}: all points of the mesh are one point")
    unit = (vertices / 2 - low) / side
    places = np.rint(unit / _MERGE_DISTANCE).astype(np.int64)
    _, kept, place = np.unique(places, axis=0, return_index=True, return_inverse=True)
    # In less memory: no file has 2^31 vertices.
    return vertices[kept], place.reshape(-1).astype(np.int32)[faces], unit[kept]
