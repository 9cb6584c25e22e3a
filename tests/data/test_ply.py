"""Binary PLY files of mixed polygons are read as their triangles would be."""

import io
import struct

import numpy as np
import pytest

from rotdis.data import ply
from rotdis.data.meshes import MeshError, load_mesh

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("igl")

_POINTS = [(x, y, z) for x in (0, 1) for y in (0, 2) for z in (0, 3)]
_QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
# A box of four quads and four triangles: as many corners as eight faces of 3.5.
_MIXED = _QUADS[:4] + [part for a, b, c, d in _QUADS[4:] for part in ((a, b, c), (a, c, d))]


def _ply(faces, order="<", flags=False, comment=""):
    """A file with a colour at each vertex, and perhaps a number before each face's corners."""
    name = {"<": "little", ">": "big"}[order]
    lines = [
        "ply", f"format binary_{name}_endian 1.0", *([comment] if comment else []),
        "element vertex 8", "property float x", "property float y", "property float z",
        "property uchar red", "property uchar green", "property uchar blue",
        f"element face {len(faces)}", *(["property float flag"] if flags else []),
        "property list uchar int vertex_indices", "end_header", "",
    ]  # fmt: skip
    rows = [struct.pack(order + "3f3B", *point, 10, 20, 30) for point in _POINTS]
    for face in faces:
        rows.append(struct.pack(order + "f", 7.0) if flags else b"")
        rows.append(struct.pack(f"{order}B{len(face)}i", len(face), *face))
    return "\n".join(lines).encode() + b"".join(rows)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("flags", [False, True])
def test_mixed_polygons_are_cut_and_all_else_is_kept(order, flags):
    data = _ply(_MIXED, order, flags, comment="comment element face 3")
    with pytest.raises(ValueError):  # should trimesh learn to read it, this module can go
        trimesh.load_scene(io.BytesIO(data), file_type="ply")
    mesh = load_mesh(data, "box.ply").mesh
    assert mesh.volume == pytest.approx(6) and len(mesh.faces) == 12
    read = trimesh.load_mesh(io.BytesIO(ply.triangulated(data)), file_type="ply", process=False)
    np.testing.assert_allclose(read.vertices, _POINTS)
    assert (read.visual.vertex_colors[:, :3] == (10, 20, 30)).all()


def test_a_balance_of_corners_is_not_mistaken_for_faces_alike():
    """A triangle and a pentagon take as many bytes as two quads do."""
    faces = [_QUADS[0], (4, 6, 7), (4, 7, 5, 1, 0), *_QUADS[3:], (0, 1, 4)]
    read = ply.triangulated(_ply(faces))
    mesh = trimesh.load_mesh(io.BytesIO(read), file_type="ply", process=False)
    assert mesh.faces[:4].tolist() == [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5]]


@pytest.mark.parametrize("faces", [_QUADS, []])
def test_what_trimesh_reads_is_left_as_it_is(faces):
    data = _ply(faces)
    assert ply.triangulated(data) is data
    text = trimesh.creation.box().export(file_type="ply", encoding="ascii")
    assert ply.triangulated(text) is text


def test_a_file_that_ends_too_early_or_lies_is_named():
    data = _ply(_MIXED)
    for damaged in (data[:-9], data.replace(b"face 8", b"face 99999999"), data[:40]):
        with pytest.raises(MeshError, match="x.ply: cannot read it as ply"):
            load_mesh(damaged, "x.ply")
