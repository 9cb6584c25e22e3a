"""Laws of the mesh loader: quirks are mended and counted, damage is named by file and line."""

import time
import tracemalloc

import numpy as np
import pytest
import trimesh

from rotdis.data.meshes import MeshError, clean_mesh, load_mesh
from rotdis.errors import RotdisError

VERTICES = ["0 0 0", "1 0 0", "1 1 0", "0 1 0", "0 0 1", "1 0 1", "1 1 1", "0 1 1"]
QUADS = ["4 3 2 1 0", "4 4 5 6 7", "4 0 1 5 4", "4 1 2 6 5", "4 2 3 7 6", "4 3 0 4 7"]


def _off(header="OFF\n8 6 0", vertices=VERTICES, faces=QUADS, newline="\n") -> bytes:
    return newline.join([*header.split("\n"), *vertices, *faces, ""]).encode()


def _load(data: bytes):
    return load_mesh(data, "chair_0001.off")


@pytest.mark.parametrize(
    "data, quirk",
    [
        (_off(), None),
        (_off("OFF8 6 0"), "fused_header"),
        (_off("OFF 8 6 0"), "fused_header"),
        (_off("OFF\n8 6"), None),
        (_off("off\n8 6 12"), None),
        (_off("\ufeff# made by hand\n\nOFF # header\n# counts\n8 6 0 # V F E"), None),
        (_off(newline="\r\n"), None),
        (_off(newline="\r"), None),
        (_off(vertices=[v + "  " for v in VERTICES], faces=["\t" + f for f in QUADS]), None),
        (_off("COFF\n8 6 0", vertices=[v + " 255 0 0 255" for v in VERTICES]), None),
        (_off("NOFF\n8 6 0", vertices=[v + " 0 0 1" for v in VERTICES]), None),
        (_off(faces=[f + " 0.5 0.5 0.5" for f in QUADS]), None),
        (_off(vertices=[v.replace("1", "1.0e0") for v in VERTICES]), None),
        (_off(faces=[*QUADS, "4 0 0 0 0"]), "extra_lines"),
        (_off("OFF\n8 7 0", faces=[*QUADS, "2 0 1"]), "degenerate_faces"),
        (_off("OFF\n8 7 0", faces=[*QUADS, "3 0 1 1"]), "degenerate_faces"),
        (_off("OFF\n8 7 0", faces=[*QUADS, "0"]), "degenerate_faces"),
        (_off("OFF\n9 6 0", vertices=[*VERTICES, "99 99 99"]), None),
        (_off("OFF\n8 7 0", faces=[*QUADS, "4 2 1 0 3"]), "duplicate_faces"),
        (_off(faces=["4 0 1 2 3", *QUADS[1:]]), "inconsistent_winding"),
        (_off(faces=["4 " + " ".join(f.split()[:0:-1]) for f in QUADS]), "inside_out"),
        (_off("OFF\n8 5 0", faces=QUADS[1:]), "open_surface"),
        (_off("OFF\n8 12 0", faces=QUADS + ["4 " + " ".join(f.split()[:0:-1]) for f in QUADS]),
         "double_sided"),
    ],
)  # fmt: skip
def test_a_box_in_any_dialect_is_the_same_box(data, quirk):
    found = _load(data)
    assert set(found.quirks) == {"polygons", quirk} - {None}
    assert set(found.counts) == set(found.quirks) and all(found.counts.values())
    mesh = found.mesh
    np.testing.assert_array_equal(mesh.bounds, [[0, 0, 0], [1, 1, 1]])
    assert mesh.is_winding_consistent
    if quirk != "open_surface":
        assert mesh.volume == pytest.approx(1)


def test_polygon_that_is_not_convex_keeps_its_volume():
    """An L-shaped prism: six-cornered ends, cut into fans that overlap and cancel."""
    outline = ["0 0", "2 0", "2 1", "1 1", "1 2", "0 2"]
    outline = outline[2:] + outline[:2]  # so that the fan starts at a corner that sees not all
    vertices = [f"{p} 0" for p in outline] + [f"{p} 1" for p in outline]
    sides = [f"4 {i} {(i + 1) % 6} {(i + 1) % 6 + 6} {i + 6}" for i in range(6)]
    data = _off("OFF\n12 8 0", vertices, ["6 5 4 3 2 1 0", "6 6 7 8 9 10 11", *sides])
    assert _load(data).mesh.volume == pytest.approx(3)


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "empty"),
        (b"# nothing\n\n", "empty"),
        (b"hello\n1 2 3\n", "line 1: not an OFF file"),
        (b"\x00\xff\x80" * 50, "line 1: not an OFF file"),
        (b"OFF", "line 1: expected the numbers"),
        (b"OFF BINARY\n", "line 1: binary"),
        (_off("OFF\n8 six 0"), "line 2: expected the numbers"),
        (_off("OFF\n8"), "line 2: expected the numbers"),
        (_off("OFF\n-8 6 0"), "line 2: negative"),
        (_off("OFF\n8 0 0", faces=[]), "0 faces"),
        (_off("OFF\n0 0 0", [], []), "0 vertices"),
        (_off("OFF\n" + "9" * 5000 + " 6 0"), "line 2: expected the numbers"),
        (_off("OFF\n8 9 0"), "cut short after line 16: its header promises 9 faces, it holds 6"),
        (_off("OFF\n9 6 0"), "line 11: expected a face|promises 6 faces|line 11"),
        (_off("OFF\n999999999999 6 0", faces=[]), "promises 999999999999 vertices, it holds 8"),
        (_off("OFF\n8 999999999999 0"), "promises 999999999999 faces, it holds 6"),
        (_off()[:60], "cut short|line"),
        (_off(vertices=[*VERTICES[:7], "0 1"]), "line 10: expected a vertex"),
        (_off(vertices=[*VERTICES[:7], "0 1 one"]), "line 10: expected a vertex"),
        (_off(vertices=[*VERTICES[:7], "0 1 nan"]), "line 10: a vertex that is not finite"),
        (_off(vertices=["0 inf 0", *VERTICES[1:]]), "line 3: a vertex that is not finite"),
        (_off(vertices=["0 1e999 0", *VERTICES[1:]]), "line 3: a vertex that is not finite"),
        (_off(faces=[*QUADS[:5], "4 3 0 4 8"]), "line 16: a face names vertex 8"),
        (_off(faces=["4 3 2 1 -1", *QUADS[1:]]), "line 11: a face names vertex -1"),
        (_off(faces=["4 3 2 1", *QUADS[1:]]), "line 11: expected a face"),
        (_off(faces=["4 3 2 1 0.5", *QUADS[1:]]), "line 11: expected a face"),
        (_off(faces=["-4 3 2 1 0", *QUADS[1:]]), "line 11: expected a face"),
        (_off(faces=["999999999 3 2 1 0", *QUADS[1:]]), "line 11: expected a face"),
        (_off(vertices=["1 2 3"] * 8), "one point"),
        (_off("OFF\n8 2 0", faces=["3 0 1 1", "2 0 1"]), "degenerate"),
        (_off("OFF\n3 1 0", ["0 0 0", "1 1 1", "2 2 2"], ["3 0 1 2"]), "degenerate"),
    ],
)  # fmt: skip
def test_damage_is_named_by_file_and_line(data, reason):
    with pytest.raises(MeshError, match=reason) as raised:
        _load(data)
    message = str(raised.value)
    assert message.startswith("chair_0001.off: ") and "\n" not in message and len(message) < 300
    assert isinstance(raised.value, RotdisError) and isinstance(raised.value, ValueError)


def test_every_truncation_is_an_error_or_the_mesh():
    data = _off()
    for length in range(len(data) - 2):
        with pytest.raises(MeshError):
            _load(data[:length])


def test_random_damage_never_raises_anything_else():
    rng = np.random.default_rng(0)
    data = np.frombuffer(_off(), dtype=np.uint8)
    for _ in range(500):
        broken = data.copy()
        broken[rng.integers(len(data), size=4)] = rng.choice(list(b"0189-. \n#enaOF\xff\x00"), 4)
        try:
            _load(broken.tobytes())
        except MeshError:
            pass


@pytest.mark.parametrize(
    "data",
    [
        b"OFF\n1000000000 1000000000 0\n" + b"0 0 0\n" * 10_000,
        b"OFF\n3 1 0\n" + b"1" * 200_000,
        b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n99999 " + b"0 " * 100_000,
        b"OFF\n10000 1 0\n" + b"0 0 0 " + b"7" * 1_000_000 + b"\n" + b"0 0 0\n" * 9_999,
        b"# " * 300_000,
    ],
)
def test_time_and_memory_follow_the_file_not_its_claims(data):
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(MeshError):
        _load(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.perf_counter() - start < 5
    assert peak < 20_000_000


def test_large_meshes_load_in_linear_time():
    sphere = trimesh.creation.icosphere(subdivisions=6)  # 81,920 faces
    faces = sphere.faces.copy()
    faces[::3] = faces[::3, ::-1]
    start = time.perf_counter()
    found = clean_mesh(trimesh.Trimesh(sphere.vertices, faces, process=False))
    assert time.perf_counter() - start < 10
    assert found.mesh.volume == pytest.approx(sphere.volume)


def test_winding_repair_is_that_of_trimesh():
    mesh = trimesh.creation.torus(1.0, 0.3)
    faces = mesh.faces.copy()
    some = np.random.default_rng(0).uniform(size=len(faces)) < 0.4
    faces[some] = faces[some][:, ::-1]
    mixed = trimesh.Trimesh(mesh.vertices, faces, process=False)
    ours = clean_mesh(mixed)
    assert ours.counts["inconsistent_winding"] == some.sum()
    trimesh.repair.fix_normals(mixed)
    assert ours.mesh.volume == pytest.approx(mixed.volume)


@pytest.mark.parametrize("file_type", ["obj", "stl", "ply", "glb"])
def test_other_formats_load_through_trimesh(tmp_path, file_type):
    box = trimesh.creation.box((1, 2, 3))
    path = tmp_path / f"box.{file_type}"
    box.export(path)
    assert load_mesh(path).mesh.volume == pytest.approx(6)
    assert load_mesh(path.read_bytes(), file_type=file_type).mesh.volume == pytest.approx(6)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    try:
        load_mesh(path)
    except MeshError as error:
        assert str(error).startswith(f"{path}: ")


@pytest.mark.parametrize("change", ["tabs", "carriage returns", "byte order mark"])
def test_an_obj_of_another_systems_lines_is_read(change):
    box = trimesh.creation.box((1, 2, 3)).export(file_type="obj").encode()
    box = box[box.index(b"v ") :]  # so that the mark stands before a vertex
    data = {
        "tabs": box.replace(b"v ", b"v\t"),
        "carriage returns": box.replace(b"\n", b"\r"),
        "byte order mark": b"\xef\xbb\xbf" + box,
    }[change]
    assert load_mesh(data, "box.obj").mesh.volume == pytest.approx(6)


def test_a_gltf_of_several_files_is_refused_with_advice(tmp_path):
    box = trimesh.Scene(trimesh.creation.box((1, 2, 3)))
    files = box.export(file_type="gltf")
    with pytest.raises(MeshError, match="files beside it; save it as .glb"):
        load_mesh(files["model.gltf"], "box.gltf")
    merged = trimesh.exchange.gltf.export_gltf(box, embed_buffers=True)["model.gltf"]
    assert load_mesh(merged, "box.gltf").mesh.volume == pytest.approx(6)


def test_unreadable_and_unknown_files_are_mesh_errors(tmp_path):
    with pytest.raises(MeshError, match="No such file"):
        load_mesh(tmp_path / "missing.off")
    with pytest.raises(MeshError, match="cannot read"):
        load_mesh(tmp_path, file_type="off")
    with pytest.raises(MeshError, match="'dwg' is not a mesh format"):
        load_mesh(b"", "house.dwg")
    with pytest.raises(MeshError, match="format is not said"):
        load_mesh(b"OFF")


def test_meshes_in_memory_are_checked_and_left_alone():
    box = trimesh.creation.box()
    box.invert()
    before = box.faces.copy()
    assert clean_mesh(box).quirks == ("inside_out",)
    np.testing.assert_array_equal(box.faces, before)
    for vertices, faces in (
        (np.full((3, 3), np.nan), [[0, 1, 2]]),
        (np.eye(3), [[0, 1, 3]]),
        (np.eye(3), np.zeros((0, 3), dtype=int)),
    ):
        with pytest.raises(MeshError, match="box"):
            clean_mesh(trimesh.Trimesh(vertices, faces, process=False, validate=False), "box")


def test_loose_parts_are_counted_and_kept():
    parts = [trimesh.creation.box(transform=np.eye(4) + 3 * i * np.eye(4, k=3)) for i in range(3)]
    found = clean_mesh(trimesh.util.concatenate(parts))
    assert found.counts == {"loose_parts": 3}
    assert found.mesh.volume == pytest.approx(3)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e150])
def test_scale_does_not_matter(scale):
    found = _load(_off(vertices=[" ".join(f"{float(x) * scale!r}" for x in v.split())
                                 for v in VERTICES]))  # fmt: skip
    assert found.quirks == ("polygons",) and len(found.mesh.faces) == 12
