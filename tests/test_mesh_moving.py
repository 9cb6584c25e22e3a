"""A mesh file is moved by a rigid motion, and keeps what the network never sees."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from rotdis import mesh_files, mesh_moving
from rotdis.data import gltf, meshes
from rotdis.errors import RotdisError

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
    mesh_moving.write_moved(source, MATRIX, target)
    expected = trimesh.transform_points(_points(source), MATRIX)
    assert np.allclose(_points(target), expected, atol=1e-5)


@pytest.mark.parametrize("size", [1e-6, 1e5])
@pytest.mark.parametrize("file_type", mesh_files.FORMATS)
def test_small_and_large_units_are_kept(size, file_type, tmp_path):
    source, target = tmp_path / f"in.{file_type}", tmp_path / f"out.{file_type}"
    mesh = trimesh.creation.box((size, 2 * size, 3 * size))
    source.write_bytes(mesh_moving.encoded(mesh, file_type))
    turn = MATRIX.copy()
    turn[:3, 3] = 0
    mesh_moving.write_moved(source, turn, target)
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
    mesh_moving.write_moved(tmp_path / "in" / "a.obj", MATRIX, tmp_path / "out" / "a.obj")
    written = (tmp_path / "out" / "a.obj").read_bytes().decode().split("\r\n")
    changed = [i for i, pair in enumerate(zip(lines, written, strict=True)) if pair[0] != pair[1]]
    assert changed == [2, 3, 4, 5, 7]
    assert written[3].split()[4:] == ["0", "1", "0"]
    normal = [float(x) for x in written[7].split()[1:]]
    assert np.allclose(normal, MATRIX[:3, 2], atol=1e-9)
    assert (tmp_path / "out" / "maps" / "a.png").read_bytes() == b"picture"
    assert (tmp_path / "out" / "paint.mtl").exists()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "carriage returns"])
def test_an_obj_of_any_encoding_is_moved(encoding, tmp_path):
    text = trimesh.creation.box((1, 2, 3)).export(file_type="obj")
    text = text[text.index("v ") :]
    source = tmp_path / "in.obj"
    if encoding == "carriage returns":
        source.write_bytes(text.replace("\n", "\r").encode())
    else:
        source.write_bytes(text.encode(encoding))
    mesh_moving.write_moved(source, MATRIX, tmp_path / "out.obj")
    found, expected = (meshes.load_mesh(path).mesh for path in (tmp_path / "out.obj", source))
    moved = trimesh.transform_points(expected.vertices, MATRIX)
    assert np.allclose(found.bounds, [moved.min(axis=0), moved.max(axis=0)], atol=1e-5)


def test_an_obj_does_not_copy_from_elsewhere(tmp_path):
    (tmp_path / "secret.mtl").write_text("newmtl a\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.obj").write_text(
        "mtllib ../secret.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3"
    )
    mesh_moving.write_moved(tmp_path / "in" / "a.obj", MATRIX, tmp_path / "out" / "x" / "a.obj")
    assert not (tmp_path / "out" / "secret.mtl").exists()


_TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def _written_beside(tmp_path, line, files):
    """Moves an OBJ file that has a line and files beside it; returns which files lie beside it."""
    for name, content in {"a.obj": f"{line}\n{_TRIANGLE}", **files}.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(content)
    out = tmp_path / "out"
    mesh_moving.write_moved(tmp_path / "in" / "a.obj", MATRIX, out / "a.obj")
    expected = trimesh.transform_points([[0, 0, 0], [1, 0, 0], [0, 1, 0]], MATRIX)
    assert np.allclose(_points(out / "a.obj"), expected)
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    foreseen = mesh_moving.all_copies([tmp_path / "in" / "a.obj"], ["sub/a.obj"])
    assert set(foreseen) == {f"sub/{name}" for name in found - {"a.obj"}}
    for name, origin in foreseen.items():
        assert (out / name.removeprefix("sub/")).read_bytes() == origin.read_bytes()
    return found - {"a.obj"}


@pytest.mark.parametrize(
    "line, libraries",
    [
        ("mtllib my  chair.mtl", {"my  chair.mtl"}),
        ("mtllib one.mtl two.mtl", {"one.mtl", "two.mtl"}),
        ("mtllib one.mtl missing.mtl two.mtl ", {"one.mtl", "two.mtl"}),
        ("mtllib one.mtl\nMTLLIB\ttwo.mtl", {"one.mtl", "two.mtl"}),
        ("mtllib below\\one.mtl", {"below/one.mtl"}),
        ("mtllib one\u2028.mtl", {"one\u2028.mtl"}),
    ],
)
def test_all_material_libraries_of_a_line_are_copied_whatever_their_names(
    line, libraries, tmp_path
):
    assert _written_beside(tmp_path, line, dict.fromkeys(libraries, "newmtl a\n")) == libraries


@pytest.mark.parametrize(
    "line, texture",
    [
        ("map_Kd wood grain.png", "wood grain.png"),
        ("map_Kd -s 1 1 1 -clamp on wood  grain.png", "wood  grain.png"),
        ("refl -type sphere maps\\sky.png", "maps/sky.png"),
        ("map_Kd " + "-clamp on " * 1000 + "wood.png", "wood.png"),
    ],
    ids=["spaces", "options", "folder", "long"],
)
@pytest.mark.parametrize("folder", ["", "below/"])
def test_a_texture_is_copied_whatever_its_name_and_options(line, texture, folder, tmp_path):
    files = {f"{folder}a.mtl": f"newmtl a\n{line}\n", folder + texture: "picture"}
    assert _written_beside(tmp_path, f"mtllib {folder}a.mtl", files) == set(files)


def test_nothing_is_copied_beside_other_formats_or_for_a_file_that_is_gone(tmp_path):
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{_TRIANGLE}")
    (tmp_path / "a.mtl").touch()
    paths = [tmp_path / "a.obj", tmp_path / "gone.obj"]
    assert mesh_moving.all_copies(paths, ["a.ply", "gone.obj"]) == {}
    assert mesh_moving.all_copies(paths, ["a.obj", "b.obj"]) == {"a.mtl": tmp_path / "a.mtl"}


def test_a_name_that_is_not_utf_8_is_found(tmp_path):
    (tmp_path / "in").mkdir()
    try:
        Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/gr\xfcn.mtl")).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    (tmp_path / "in" / "a.obj").write_bytes(b"mtllib gr\xfcn.mtl\n" + _TRIANGLE.encode())
    mesh_moving.write_moved(tmp_path / "in" / "a.obj", MATRIX, tmp_path / "out" / "a.obj")
    assert b"gr\xfcn.mtl" in os.listdir(os.fsencode(tmp_path / "out"))


@pytest.mark.parametrize(
    "name",
    ["a" * 300, "a/" * 3000, "a\0b", ".", "in", "a.obj", "b.obj"],
    ids=["long", "deep", "zero", "self", "folder", "itself", "other"],
)
def test_a_name_of_no_material_costs_nothing_else(name, tmp_path):
    files = {"b.mtl": f"newmtl a\nmap_Kd {name}\n", "b.obj": "", "in/c": ""}
    assert _written_beside(tmp_path, f"mtllib {name}\nmtllib b.mtl", files) == {"b.mtl"}


def test_a_material_that_cannot_be_read_is_left_out(tmp_path, monkeypatch):
    read = Path.read_bytes

    def refused(path):
        if path.name == "b.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    monkeypatch.setattr("shutil.copyfile", lambda source, _: refused(source))
    files = {"b.mtl": "newmtl a\nmap_Kd b.png\nmap_Ks c.png", "b.png": "", "c.png": ""}
    assert _written_beside(tmp_path, "mtllib b.mtl", files) == {"b.mtl", "c.png"}


def test_a_material_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "out" / "b.mtl").mkdir(parents=True)
    with pytest.raises(RotdisError, match="--output: cannot write .*b.mtl"):
        _written_beside(tmp_path, "mtllib b.mtl", {"b.mtl": ""})


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A box with a texture that breaks off, as GLB and as OBJ; returns their folder."""
    folder = tmp_path_factory.mktemp("damaged")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    box = trimesh.creation.box((1, 2, 3))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(noise))
    box.visual = trimesh.visual.TextureVisuals(uv=box.vertices[:, :2], material=material)
    data = bytearray(box.export(file_type="glb"))
    begin, end = data.find(b"IDAT") + 2000, data.find(b"IEND") - 8
    data[begin:end] = bytes(end - begin)
    (folder / "a.glb").write_bytes(data)
    Image.fromarray(noise).save(folder / "a.png")
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:3000])
    (folder / "a.mtl").write_text("newmtl a\nmap_Kd a.png\n")
    lines = ["mtllib a.mtl", "usemtl a", *("v {} {} {}".format(*v) for v in box.vertices)]
    lines += ["vt {} {}".format(*v) for v in box.vertices[:, :2]]
    lines += ["f {0}/{0} {1}/{1} {2}/{2}".format(*face) for face in box.faces + 1]
    (folder / "a.obj").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("own", ["glb", "obj"])
@pytest.mark.parametrize("other", mesh_files.FORMATS)
def test_a_damaged_texture_costs_the_materials_alone(own, other, damaged, tmp_path):
    source, target = damaged / f"a.{own}", tmp_path / f"a.{other}"
    expected = meshes.load_mesh(source).mesh.apply_transform(MATRIX)
    mesh_moving.write_moved(source, MATRIX, target)
    found = meshes.load_mesh(target).mesh
    assert np.allclose(found.bounds, expected.bounds, atol=1e-5)
    assert np.isclose(found.volume, 6, rtol=1e-5)


@pytest.mark.parametrize("other", ["obj", "ply"])
def test_a_disk_that_fails_is_not_taken_for_a_bad_mesh(other, tmp_path, monkeypatch):
    (tmp_path / "a.off").write_bytes(mesh_moving.encoded(trimesh.creation.box(), "off"))

    def fail(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(OSError, match="Input/output"):
        mesh_moving.write_moved(tmp_path / "a.off", MATRIX, tmp_path / f"b.{other}")


def test_a_mesh_that_is_gone_is_named(tmp_path):
    with pytest.raises(meshes.MeshError, match="a.obj: cannot be written as .obj"):
        mesh_moving.write_moved(tmp_path / "a.obj", MATRIX, tmp_path / "b.obj")


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
    mesh_moving.write_moved(tmp_path / "in.glb", MATRIX, tmp_path / "out.glb")
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
    mesh_moving.write_moved(tmp_path / "in.glb", MATRIX, tmp_path / "out.ply")
    colors = trimesh.load_mesh(tmp_path / "out.ply", process=False).visual.vertex_colors
    assert np.array_equal(colors[0], [200, 100, 50, 255])


def test_a_ply_keeps_its_normals_and_colours(tmp_path):
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.arange(32).reshape(8, 4)
    normals = Rotation.random(8, random_state=0).as_matrix()[:, 0]  # none that the faces imply
    box.vertex_normals = normals
    box.export(tmp_path / "in.ply")
    mesh_moving.write_moved(tmp_path / "in.ply", MATRIX, tmp_path / "out.ply")
    (found,) = trimesh.load_scene(tmp_path / "out.ply", process=False).geometry.values()
    assert np.allclose(found.vertex_normals, normals @ MATRIX[:3, :3].T, atol=1e-6)
    assert np.array_equal(found.visual.vertex_colors, np.arange(32).reshape(8, 4))


@pytest.mark.parametrize("suffix", ["stl", "ply", "glb"])
def test_a_name_that_is_no_unicode_is_read_all_the_same(tmp_path, suffix):
    path = tmp_path / os.fsdecode(b"caf\xe9." + suffix.encode())
    path.write_bytes(trimesh.creation.box((1, 2, 3)).export(file_type=suffix))
    target = tmp_path / f"moved.{suffix}"
    mesh_moving.write_moved(path, MATRIX, target)
    assert trimesh.load_mesh(target).volume == pytest.approx(6)


def test_a_file_that_cannot_be_written_in_a_format_says_so(tmp_path):
    (tmp_path / "a.ply").write_text("ply\nnonsense")
    with pytest.raises(meshes.MeshError, match="a.ply: cannot be written as .stl"):
        mesh_moving.write_moved(tmp_path / "a.ply", MATRIX, tmp_path / "b.stl")
    assert not (tmp_path / "b.stl").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


def test_voxels_of_binvox_lie_where_the_mesh_lay(tmp_path):
    grid = np.zeros((8, 8, 8), bool)
    grid[1:3, 1:5, 1:7] = True
    voxels = trimesh.voxel.VoxelGrid(grid, transform=np.diag([0.5, 0.5, 0.5, 1]))
    (tmp_path / "a.binvox").write_bytes(voxels.export(file_type="binvox"))
    mesh = meshes.load_mesh(tmp_path / "a.binvox").mesh
    assert np.allclose(mesh.extents, [1, 2, 3], atol=0.01)
    mesh_moving.write_moved(tmp_path / "a.binvox", MATRIX, tmp_path / "a.ply")
    assert np.isclose(trimesh.load_mesh(tmp_path / "a.ply").volume, mesh.volume, rtol=1e-3)


def _glb(**changes):
    """A file with what trimesh drops: a second scene, extras, an extension, a camera."""
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box((1, 2, 3)), node_name="part")
    document, chunks = gltf.split_glb(scene.export(file_type="glb"))
    document["nodes"][-1]["extras"] = {"number": "A-17"}
    document["cameras"] = [{"type": "orthographic"}]
    document["materials"] = [{"name": "µ", "extensions": {"KHR_materials_clearcoat": {}}}]
    document["scenes"].append({"name": "again", "nodes": list(document["scenes"][0]["nodes"])})
    return gltf.joined_glb(document | changes, chunks)


def test_a_glb_keeps_all_but_where_its_scenes_stand(tmp_path):
    (tmp_path / "in.glb").write_bytes(_glb())
    mesh_moving.write_moved(tmp_path / "in.glb", MATRIX, tmp_path / "out.glb")
    before, chunks = gltf.split_glb((tmp_path / "in.glb").read_bytes())
    after, same_chunks = gltf.split_glb((tmp_path / "out.glb").read_bytes())
    assert chunks == same_chunks
    added = after["nodes"].pop()
    assert added["children"] == before["scenes"][0]["nodes"]
    assert [scene.pop("nodes") for scene in after["scenes"]] == [[len(before["nodes"])]] * 2
    for scene in before["scenes"]:
        del scene["nodes"]
    assert after == before
    expected = trimesh.transform_points(_points(tmp_path / "in.glb"), MATRIX)
    assert np.allclose(_points(tmp_path / "out.glb"), expected, atol=1e-6)


def test_a_glb_whose_scenes_share_a_part_is_moved_all_the_same(tmp_path):
    document, _ = gltf.split_glb(_glb())
    (tmp_path / "in.glb").write_bytes(
        _glb(
            nodes=[*document["nodes"], {"children": []}],
            scenes=[{"nodes": [0]}, {"nodes": [0, len(document["nodes"])]}],
        )
    )
    mesh_moving.write_moved(tmp_path / "in.glb", MATRIX, tmp_path / "out.glb")
    expected = trimesh.transform_points(_points(tmp_path / "in.glb"), MATRIX)
    assert np.allclose(_points(tmp_path / "out.glb"), expected, atol=1e-5)


@pytest.mark.parametrize("of", ["Draco", "sparse", "meshopt"])
def test_a_glb_that_trimesh_would_misread_is_refused_by_name(tmp_path, of):
    document, chunks = gltf.split_glb(_glb())
    primitive = document["meshes"][0]["primitives"][0]
    accessor = document["accessors"][primitive["attributes"]["POSITION"]]
    if of == "Draco":
        primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0}}
        del accessor["bufferView"]
    elif of == "sparse":
        accessor["sparse"] = {"count": 1}
    else:
        document["extensionsRequired"] = ["EXT_meshopt_compression"]
    (tmp_path / "a.glb").write_bytes(gltf.joined_glb(document, chunks))
    with pytest.raises(meshes.MeshError, match="a.glb: cannot read .* without compression"):
        meshes.load_mesh(tmp_path / "a.glb")
    (tmp_path / "a.gltf").write_text(json.dumps(document | {"buffers": []}))
    with pytest.raises(meshes.MeshError, match="a.gltf: cannot read .* without compression"):
        meshes.load_mesh(tmp_path / "a.gltf")
