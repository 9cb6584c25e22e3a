"""Bad meshes give voxels or one line that names file and place, in bounded time and memory."""

import concurrent.futures
import json
import multiprocessing
import re
import struct
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("igl")
trimesh = pytest.importorskip("trimesh")
from faults import off_mutations  # noqa: E402  (needs igl and trimesh)
from faults.off_mutations import KINDS, NAME, Mutator, originals, run  # noqa: E402

from rotdis.data import meshes  # noqa: E402
from rotdis.data.meshes import MeshError  # noqa: E402

FOLD = 100  # bytes of memory for each of an OFF file's, as `load_mesh` promises


def _outcome(counts: dict) -> str:
    return f"{counts['voxels']:,} voxels, {counts['error']:,} one-line MeshErrors, nothing else"


def test_damaged_furniture_is_voxels_or_an_error_that_names_file_and_line(record_fault):
    counts = Mutator(originals(None)).check_all(range(5 * len(KINDS)))
    assert counts.total() == 5 * len(KINDS) and min(counts.values()) > 20
    record_fault("OFF, generated, 22 kinds of damage", counts.total(), _outcome(counts))


@pytest.mark.slow
def test_twenty_thousand_damaged_files(request, record_fault):
    """In a process that may take 400 MB besides what it has when it begins."""
    try:
        folder = request.getfixturevalue("modelnet10_dir") / "meshes"
    except pytest.skip.Exception:
        folder = None
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        cases = pool.submit(off_mutations.bounded, folder, range(20_000), 400 << 20)
        counts = cases.result()
    assert counts.total() == 20_000 and min(counts.values()) > 2000
    source = "generated" if folder is None else "real ModelNet10"
    record_fault(f"OFF, {source}, 22 kinds of damage", counts.total(), _outcome(counts))


_NUMBERS = st.one_of(
    st.integers(-2, 9),
    st.floats(width=32),
    st.sampled_from(["1e999", "-nan", "0x1", "1_0", "\u0661", "9" * 400, "-0", "+1", ".", "1,0"]),
).map(str)
_LINES = st.lists(st.lists(_NUMBERS, max_size=6).map(" ".join), max_size=12)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    header=st.sampled_from(["OFF", "off", "COFF", "STCNOFF", "OFF4 4 0", "OFF BINARY", "", "#"]),
    counts=st.one_of(st.just("4 4 0"), st.lists(_NUMBERS, max_size=4).map(" ".join)),
    vertices=st.one_of(st.just(["0 0 0", "1 0 0", "0 1 0", "0 0 1"]), _LINES),
    faces=st.one_of(st.just(["3 0 2 1", "3 0 1 3", "3 1 2 3", "3 0 3 2"]), _LINES),
    newline=st.sampled_from(["\n", "\r\n", "\r", " \n", "\n\n"]),
)
def test_whatever_has_the_form_of_an_off_file(header, counts, vertices, faces, newline):
    found = run(newline.join([header, counts, *vertices, *faces]).encode())
    assert isinstance(found, MeshError) or found.any()


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"OFF", b"OFF\n3 1 0\n"]))
def test_whatever_bytes(content, start):
    found = run(start + content)
    assert isinstance(found, MeshError) or found.any()


def _polygon_of(corners: int, digits: int) -> bytes:
    count = 10**digits
    random = np.random.default_rng(0)
    vertices = b"".join(b"%d %d %d\n" % (i, i * i % 97, i**3 % 71) for i in range(count))
    names = b" ".join(b"%d" % i for i in random.integers(count // 10, count, corners))
    return b"OFF\n%d 1 0\n%s%d %s\n" % (count, vertices, corners, names)


GREEDY = {
    "only line ends": b"OFF\n3 1 0\n" + b"\n" * 60_000,
    "only comments": b"OFF\n3 1 0\n" + b"# \n" * 20_000,
    "a polygon of 10 vertices": _polygon_of(30_000, 1),
    "a polygon of 100 vertices": _polygon_of(20_000, 2),
    "a polygon of 1000 vertices": _polygon_of(16_000, 3),
    "a line of words": b"OFF\n3 1 0\n0 0 0 " + b"12 " * 20_000 + b"\n1 0 0\n0 1 0\n3 0 1 2\n",
    "a line of one word": b"OFF\n3 1 0\n0 0 " + b"1" * 60_000,
    "small faces": b"OFF\n4 10000 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n" + b"3 1 2 3\n" * 10_000,
    "flat faces": b"OFF\n4 10000 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n" + b"3 0 0 0\n" * 10_000,
    "small vertices": b"OFF\n10000 1 0\n" + b"1 2 3\n" * 10_000 + b"3 0 1 2\n",
    "2 GB by the header": b"OFF\n40000000 40000000 0\n" + b"0 0 0\n" * 1000,
}


def _peak(data: bytes, name: str) -> tuple[int, MeshError | None]:
    """Returns how much memory loading a file took at most, and what was wrong with it."""
    tracemalloc.start()
    try:
        meshes.load_mesh(data, name)
        found = None
    except MeshError as error:
        found = error
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, found


def test_memory_is_a_stated_multiple_of_the_files_size(record_fault):
    folds = []
    for kind, data in GREEDY.items():
        peak, _ = _peak(data, NAME)
        # What is promised besides is for blocks, which these files do not fill.
        assert peak < FOLD * len(data) + 5e5, kind
        folds.append(peak / len(data))
    assert max(folds) > FOLD / 2  # or the promise could be a better one
    said = f"at most {max(folds):.0f} bytes of memory a byte (limit {FOLD})"
    record_fault("OFF, made to be greedy or to lie", len(GREEDY), said)


def _glb(scene: dict, content: bytes = b"") -> bytes:
    text = json.dumps({"asset": {"version": "2.0"}, "scene": 0, **scene}).encode()
    text += b" " * (-len(text) % 4)
    size = 28 + len(text) + len(content)
    head = struct.pack("<4sII", b"glTF", 2, size) + struct.pack("<I4s", len(text), b"JSON")
    return head + text + struct.pack("<I4s", len(content), b"BIN\0") + content


def _copies(count: int) -> bytes:
    points = np.random.default_rng(0).random((30_000, 3), np.float32).tobytes()
    accessor = {"componentType": 5126, "count": 30_000, "type": "VEC3", "bufferView": 0}
    return _glb(
        {
            "scenes": [{"nodes": list(range(count))}],
            "nodes": [{"mesh": 0}] * count,
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "accessors": [accessor],
            "bufferViews": [{"buffer": 0, "byteLength": len(points)}],
            "buffers": [{"byteLength": len(points)}],
        },
        points,
    )


def _claiming_glb() -> bytes:
    return _glb(
        {
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "accessors": [{"componentType": 5126, "count": 10**9, "type": "VEC3"}],
        }
    )


def _ply(form: str, body: bytes) -> bytes:
    header = (
        f"ply\nformat {form} 1.0\nelement vertex 2000000000\nproperty float x\nproperty float y\n"
        "property float z\nelement face 2000000000\nproperty list uchar int vertex_indices\n"
    )
    return header.encode() + b"end_header\n" + body


def _binvox(side: int, runs: bytes) -> bytes:
    return b"#binvox 1\ndim %d %d %d\ntranslate 0 0 0\nscale 1\ndata\n" % ((side,) * 3) + runs


CLAIMS = {
    "a.glb": _claiming_glb(),
    "copies.glb": _copies(150),
    "a.ply": _ply("binary_little_endian", bytes(100)),
    "ascii.ply": _ply("ascii", b"0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"),
    "a.stl": bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(500),
    "a.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3000000000\n",
    "claimed.binvox": _binvox(100_000, b"\1\xff" * 10),
    "runs.binvox": _binvox(520, b"\1\xff" * (520**3 // 255) + bytes([1, 520**3 % 255])),
}


def test_other_formats_take_no_memory_for_what_they_only_claim(record_fault):
    for name, data in CLAIMS.items():
        peak, error = _peak(data, name)
        assert str(error).startswith(f"{name}: ") and "\n" not in str(error)
        assert peak < FOLD * len(data) + 20e6, name
    record_fault("GLB, PLY, STL, OBJ, binvox that claim to be huge", len(CLAIMS), "MeshError")


def test_damaged_files_of_other_formats_name_themselves(record_fault):
    random, tries = np.random.default_rng(0), 0
    box = trimesh.creation.icosphere(1)
    contents = {kind: box.export(file_type=kind) for kind in ("obj", "stl", "ply", "glb")}
    grid = trimesh.voxel.VoxelGrid(np.pad(np.ones((4, 4, 4), bool), 2))
    contents["binvox"] = grid.export(file_type="binvox")
    for kind, whole in contents.items():
        whole = whole.encode() if isinstance(whole, str) else whole
        for _ in range(40):
            data = bytearray(whole[: len(whole) if random.random() < 0.7 else random.integers(900)])
            for place in random.integers(len(data), size=3) if data else ():
                data[place] = random.integers(256)
            tries += 1
            try:
                meshes.load_mesh(bytes(data), f"chair.{kind}")
            except MeshError as error:
                assert str(error).startswith(f"chair.{kind}: ") and "\n" not in str(error)
    record_fault("GLB, PLY, STL, OBJ, binvox, bytes changed or lost", tries, "mesh or MeshError")


def test_an_open_tangle_is_refused_before_it_takes_minutes(record_fault):
    began = time.process_time()
    found = run(_polygon_of(60_000, 3))
    assert re.search("a point is near .* of them on average, over the limit of 20,000", str(found))
    assert time.process_time() - began < 5
    # What takes its time is so many faces: about 50 ns for each and sample.
    assert isinstance(run(_polygon_of(2000, 3)), np.ndarray)
    record_fault("OFF: 60,000 large faces without order", 1, "MeshError at once")


def test_a_file_over_the_limit_is_not_read(tmp_path, record_fault):
    path = tmp_path / "huge.off"
    with path.open("wb") as file:
        file.truncate(meshes.MAX_BYTES + 1)  # takes no space on the disk
    with pytest.raises(MeshError, match="huge.off: has 1,024 MB, over the limit of 1024 MB"):
        meshes.load_mesh(path)
    record_fault("a mesh file over 1 GB", 1, "MeshError before it is read")
