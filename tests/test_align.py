"""A folder in arbitrary orientations comes out in one frame, with a model whose answer is known."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from rotdis import align
from rotdis.data import normalize
from rotdis.errors import DataError, RotdisError
from rotdis.geometry import so3
from rotdis.models.rotation_vae import Code
from rotdis.synchronize import Synchronized

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("igl")


class _Model:
    """Finds no pose: every object is upright to it, as it came."""

    resolution = 16
    rotation = np.eye(3, dtype=np.float32)

    def __init__(self):
        self.seen = []

    def encode(self, voxels):
        assert voxels.shape[1:] == (self.resolution,) * 3 and voxels.max() <= 1
        self.seen.append(voxels)
        return Code(None, None, np.tile(self.rotation, (len(voxels), 1, 1)), None)


class _Turning(_Model):
    """Finds the same pose of every object."""

    rotation = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)


def _part(length):
    """Three arms of different lengths and widths, in millimetres."""
    arms = []
    for axis, (far, width) in enumerate(((length, 30), (75, 20), (50, 45))):
        low, high = np.zeros(3), np.full(3, float(width))
        high[axis] = far
        arms.append(trimesh.creation.box(bounds=[low, high]))
    return trimesh.util.concatenate(arms)


@pytest.fixture
def folder(tmp_path):
    """Parts of one kind in turned and shifted frames, as three kinds of file, and a broken one."""
    random = np.random.default_rng(0)
    turns = {}
    (tmp_path / "in" / "more").mkdir(parents=True)
    names = ["a.obj", "a.stl", "b.ply", "c.glb", "more/a.obj", "more/d.off"]
    for number, name in enumerate(names):
        matrix = np.eye(4)
        matrix[:3, :3] = so3.cube_group()[random.integers(24)]
        matrix[:3, 3] = random.uniform(-500, 500, 3)
        turns[name] = matrix[:3, :3]
        _part(100 + number).apply_transform(matrix).export(tmp_path / "in" / name)
    (tmp_path / "in" / "broken.obj").write_text("v 1 2\nf 1 2 3\n")
    return tmp_path / "in", turns


def test_parts_agree_afterwards_and_keep_units_names_and_formats(folder, tmp_path, capsys):
    source, turns = folder
    before = {name: (source / name).read_bytes() for name in turns}
    rows = align.align(_Model(), source, tmp_path / "out", by="all")
    assert rows == json.loads((tmp_path / "out" / "poses.json").read_text())
    assert [row["file"] for row in rows] == list(turns)
    total = [np.asarray(row["pose"])[:3, :3] @ turns[row["file"]] for row in rows]
    apart = [Rotation.from_matrix(total[0].T @ other).magnitude() for other in total]
    assert np.degrees(max(apart)) < 10
    for row in rows:
        assert row["group"] == 0 and row["agreement"] > 0.6 and row["aligned"] == row["file"]
        assert (source / row["file"]).read_bytes() == before[row["file"]]
        original = trimesh.load_scene(source / row["file"], process=False).to_mesh()
        aligned = trimesh.load_scene(tmp_path / "out" / row["file"], process=False).to_mesh()
        expected = trimesh.transform_points(original.vertices, row["pose"])
        assert np.allclose(aligned.vertices, expected, atol=1e-3)
        assert np.isclose(aligned.area, original.area, rtol=1e-4)
    with Image.open(tmp_path / "out" / "overview.png") as picture:
        assert np.asarray(picture.convert("L")).min() < 128
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["files"] == 7 and report["done"] == 6
    assert [row["file"] for row in report["skipped"]] == ["broken.obj"]
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("align: 6 of 7 done") and "1 skipped: see" in last


def test_each_folder_may_have_a_frame_of_its_own(folder, tmp_path, monkeypatch):
    compared = []

    def synchronizing(voxels, turns, joined):
        compared.append((len(voxels), joined))
        return Synchronized(turns, np.zeros(len(turns), int), np.zeros((0, 2), int))

    monkeypatch.setattr(align.synchronize, "synchronize", synchronizing)
    rows = align.align(_Model(), folder[0], tmp_path / "out", mesh_format="stl")
    assert compared == [(4, True), (2, True)]
    assert [row["group"] for row in rows] == [0, 0, 0, 0, 1, 1]
    names = [row["aligned"] for row in rows]
    assert len(set(names)) == 6 and all((tmp_path / "out" / name).exists() for name in names)
    assert names[0] == "a.obj.stl" and names[1] == "a.stl" and names[-1] == "more/d.stl"


def test_one_part_stays_where_the_model_puts_it(folder, tmp_path):
    path = folder[0] / "b.ply"
    (row,) = align.align(_Turning(), path, tmp_path / "out")
    rotation = _Turning.rotation.T.astype(float)
    centre, _ = normalize.enclosing_ball(trimesh.load_mesh(path).vertices)
    assert np.allclose(np.asarray(row["pose"])[:3, :3], rotation)
    assert np.allclose(np.asarray(row["pose"])[:3, 3], -rotation @ centre, atol=1e-3)
    assert row["agreement"] is None and row["turned_deg"] == 0


@pytest.mark.parametrize("resolution", [16, 32])
def test_the_model_sees_what_it_was_trained_on_and_objects_are_compared_finer(
    folder, tmp_path, monkeypatch, resolution
):
    compared = []
    common = align._common_frames
    monkeypatch.setattr(
        align,
        "_common_frames",
        lambda voxels, *rest, **options: (
            compared.append(voxels) or common(voxels, *rest, **options)
        ),
    )
    model = _Model()
    model.resolution = resolution
    align.align(model, folder[0] / "b.ply", tmp_path / "out")
    (seen,), (fine,) = model.seen, compared
    expected = normalize.normalize(folder[0] / "b.ply", resolution)
    # Both are measured, by other columns through the mesh.
    assert np.abs(seen[0] - expected).max() < 0.05 and np.abs(seen[0] - expected).mean() < 1e-3
    assert fine.shape == (1, 64, 64, 64)


def test_how_far_a_part_is_turned_on_is_told(folder, tmp_path):
    rows = align.align(_Turning(), folder[0], tmp_path / "out", by="all")
    total = [np.asarray(row["pose"])[:3, :3] @ _Turning.rotation for row in rows]
    turned = np.degrees(Rotation.from_matrix(total).magnitude())
    assert max(turned) > 80
    assert [row["turned_deg"] for row in rows] == pytest.approx(turned, abs=0.02)


def test_nothing_usable_and_a_bad_output_are_refused(folder, tmp_path):
    source, _ = folder
    with pytest.raises(DataError, match="none of its 1 meshes can be used: broken.obj"):
        align.align(_Model(), source / "broken.obj", tmp_path / "out")
    with pytest.raises(RotdisError, match="is the input"):
        align.align(_Model(), source, source)
    with pytest.raises(ValueError, match="must be one of folder, all"):
        align.align(_Model(), source, tmp_path / "out", by="kind")
