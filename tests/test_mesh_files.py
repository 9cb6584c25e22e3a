"""Mesh files are found, named and moved, and no original is ever overwritten."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis import mesh_files
from rotdis.data import meshes
from rotdis.errors import DataError, RotdisError

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("igl")

MATRIX = np.eye(4)
MATRIX[:3, :3] = Rotation.from_rotvec([0.3, -1.0, 0.7]).as_matrix()
MATRIX[:3, 3] = 5, -6, 7


def _points(path):
    return trimesh.load_scene(path, process=False).to_mesh().vertices


@pytest.mark.parametrize("own", mesh_files.FORMATS)
@pytest.mark.parametrize("other", [None, "ply", "obj"])
def test_the_matrix_maps_the_original_vertices_to_the_written_ones(own, other, tmp_path):
    source, target = tmp_path / f"in.{own}", tmp_path / "out" / f"mesh.{other or own}"
    trimesh.creation.box((1, 2, 3)).export(source)
    mesh_files.write_moved(source, MATRIX, target)
    expected = trimesh.transform_points(_points(source), MATRIX)
    assert np.allclose(_points(target), expected, atol=1e-5)


@pytest.mark.parametrize("size", [1e-6, 1e5])
@pytest.mark.parametrize("file_type", mesh_files.FORMATS)
def test_small_and_large_units_are_kept(size, file_type, tmp_path):
    source, target = tmp_path / f"in.{file_type}", tmp_path / f"out.{file_type}"
    mesh = trimesh.creation.box((size, 2 * size, 3 * size))
    source.write_bytes(mesh_files.encoded(mesh, file_type))
    turn = MATRIX.copy()
    turn[:3, 3] = 0
    mesh_files.write_moved(source, turn, target)
    radius = np.linalg.norm(_points(target), axis=1)
    assert np.allclose(radius, size * np.linalg.norm([1, 2, 3]) / 2, rtol=1e-5)


def test_an_obj_keeps_polygons_groups_colours_and_materials(tmp_path):
    (tmp_path / "in" / "maps").mkdir(parents=True)
    (tmp_path / "in" / "paint.mtl").write_text("newmtl red\nKd 1 0 0\nmap_Kd -s 1 1 1 maps/a.png\n")
    (tmp_path / "in" / "maps" / "a.png").write_bytes(b"picture")
    lines = [
        "# a square", "mtllib paint.mtl", "v 0 0 0 1 0 0", "v 1 0 0 0 1 0", "v 1 1 0 0 0 1",
        "v 0 1 0 1 1 1", "vt 0 0", "vn 0 0 1", "g panel", "usemtl red",
        "f 1/1/1 2/1/1 3/1/1 4/1/1",
    ]  # fmt: skip
    (tmp_path / "in" / "a.obj").write_text("\r\n".join(lines))
    mesh_files.write_moved(tmp_path / "in" / "a.obj", MATRIX, tmp_path / "out" / "a.obj")
    written = (tmp_path / "out" / "a.obj").read_bytes().decode().split("\r\n")
    changed = [i for i, pair in enumerate(zip(lines, written, strict=True)) if pair[0] != pair[1]]
    assert changed == [2, 3, 4, 5, 7]
    assert written[3].split()[4:] == ["0", "1", "0"]
    normal = [float(x) for x in written[7].split()[1:]]
    assert np.allclose(normal, MATRIX[:3, 2], atol=1e-9)
    assert (tmp_path / "out" / "maps" / "a.png").read_bytes() == b"picture"
    assert (tmp_path / "out" / "paint.mtl").exists()


def test_an_obj_does_not_copy_from_elsewhere(tmp_path):
    (tmp_path / "secret.mtl").write_text("newmtl a\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.obj").write_text(
        "mtllib ../secret.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3"
    )
    mesh_files.write_moved(tmp_path / "in" / "a.obj", MATRIX, tmp_path / "out" / "x" / "a.obj")
    assert not (tmp_path / "out" / "secret.mtl").exists()


def test_a_scene_keeps_its_parts_names_and_colours(tmp_path):
    scene = trimesh.Scene()
    for name, shift in (("seat", 0.0), ("back", 3.0)):
        box = trimesh.creation.box((1, 2, 3))
        box.visual = trimesh.visual.TextureVisuals(
            material=trimesh.visual.material.PBRMaterial(
                name=name, baseColorFactor=[9, 99, 199, 255]
            )
        )
        place = trimesh.transformations.translation_matrix((shift, 0, 0))
        scene.add_geometry(box, geom_name=name, node_name=name, transform=place)
    scene.export(tmp_path / "in.glb")
    mesh_files.write_moved(tmp_path / "in.glb", MATRIX, tmp_path / "out.glb")
    after = trimesh.load_scene(tmp_path / "out.glb", process=False)
    assert set(after.geometry) == {"seat", "back"}
    factor = after.geometry["back"].visual.material.baseColorFactor
    assert np.array_equal(factor, [9, 99, 199, 255])
    for name, geometry in after.geometry.items():
        place = np.eye(4)
        place[0, 3] = 3.0 if name == "back" else 0.0
        expected = trimesh.transform_points(geometry.vertices, MATRIX @ place)
        found = trimesh.transform_points(geometry.vertices, after.graph[name][0])
        assert np.allclose(found, expected, atol=1e-5)


def test_vertex_colours_outlive_a_change_of_format(tmp_path):
    box = trimesh.creation.box((1, 2, 3))
    box.visual.vertex_colors = np.tile([200, 100, 50, 255], (8, 1))
    box.export(tmp_path / "in.glb")
    mesh_files.write_moved(tmp_path / "in.glb", MATRIX, tmp_path / "out.ply")
    colors = trimesh.load_mesh(tmp_path / "out.ply", process=False).visual.vertex_colors
    assert np.array_equal(colors[0], [200, 100, 50, 255])


def test_meshes_are_found_in_subfolders_and_results_are_not(tmp_path):
    for name in ("b/x.OBJ", "a.stl", "c.txt", "._a.stl", "out/a.stl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    paths = mesh_files.find_meshes(tmp_path, tmp_path / "out")
    assert mesh_files.relative_names(paths, tmp_path) == ["a.stl", "b/x.OBJ"]
    # An output around the input leaves nothing out.
    assert len(mesh_files.find_meshes(tmp_path / "b", tmp_path)) == 1
    with pytest.raises(DataError, match="holds no mesh"):
        (tmp_path / "empty").mkdir()
        mesh_files.find_meshes(tmp_path / "empty")


@pytest.mark.parametrize(
    "names, mesh_format, expected",
    [
        (["a.stl", "a.obj", "b/a.stl"], None, ["a.stl", "a.obj", "b/a.stl"]),
        (["a.stl", "c.obj"], "ply", ["a.ply", "c.ply"]),
        (["a.stl", "a.obj", "a.ply"], "ply", ["a.stl.ply", "a.obj.ply", "a.ply"]),
        (["a.stl", "a.obj", "a.stl.ply"], "ply", ["a.stl.ply", "a.obj.ply", "a.stl_2.ply"]),
        (["A.stl", "a.stl"], None, ["A.stl", "a_2.stl"]),
        (["a.binvox", "b.binvox", "b.ply"], None, ["a.ply", "b.binvox.ply", "b.ply"]),
    ],
)
def test_no_two_results_are_called_alike(names, mesh_format, expected):
    found = mesh_files.output_names(names, mesh_format)
    assert found == expected


def test_an_original_is_never_overwritten(tmp_path):
    (tmp_path / "b" / "b").mkdir(parents=True)
    original = tmp_path / "b" / "x.obj"
    original.touch()
    with pytest.raises(RotdisError, match="is the input"):
        mesh_files.check_output(tmp_path, tmp_path, [original], [])
    with pytest.raises(RotdisError, match="would be overwritten"):
        mesh_files.check_output(tmp_path / "b" / "b", tmp_path, [original], [tmp_path / "b/x.obj"])
    with pytest.raises(RotdisError, match="is a file"):
        mesh_files.check_output(tmp_path / "b", original, [original], [])


def test_a_file_that_cannot_be_written_in_a_format_says_so(tmp_path):
    (tmp_path / "a.ply").write_text("ply\nnonsense")
    with pytest.raises(meshes.MeshError, match="a.ply: cannot be written as .stl"):
        mesh_files.write_moved(tmp_path / "a.ply", MATRIX, tmp_path / "b.stl")
    assert not (tmp_path / "b.stl").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


def test_voxels_of_binvox_lie_where_the_mesh_lay(tmp_path):
    grid = np.zeros((8, 8, 8), bool)
    grid[1:3, 1:5, 1:7] = True
    voxels = trimesh.voxel.VoxelGrid(grid, transform=np.diag([0.5, 0.5, 0.5, 1]))
    (tmp_path / "a.binvox").write_bytes(voxels.export(file_type="binvox"))
    mesh = meshes.load_mesh(tmp_path / "a.binvox").mesh
    assert np.allclose(mesh.extents, [1, 2, 3], atol=0.01)
    mesh_files.write_moved(tmp_path / "a.binvox", MATRIX, tmp_path / "a.ply")
    assert np.isclose(trimesh.load_mesh(tmp_path / "a.ply").volume, mesh.volume, rtol=1e-3)
