"""What `generate` leaves in its folder, with a model whose answer is known."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("igl")
trimesh = pytest.importorskip("trimesh")
from rotdis import gallery, mesh_files  # noqa: E402  (the first needs trimesh)
from rotdis.config import base_config  # noqa: E402
from rotdis.errors import DataError, RotdisError, UsageError  # noqa: E402
from rotdis.models.rotation_vae import Code  # noqa: E402


class _Model:
    """Decodes a box along z, turned; nothing where the code's first component is negative."""

    resolution = 16

    def __init__(self, method="mixture"):
        self.config = base_config()
        self.config.pose.method = method

    def sample(self, count, seed=0):
        return np.stack([np.linspace(-1, 1, count)] * 2, 1).astype(np.float32)

    def encode(self, voxels):
        count = len(voxels)
        codes = np.ones((count, 2), np.float32)
        return Code(codes, codes, np.broadcast_to(np.eye(3, dtype=np.float32), (count, 3, 3)), None)

    def decode(self, z_mean, rotation):
        points = np.moveaxis(np.indices((16,) * 3) - 7.5, 0, -1)
        inside = [(np.abs(points @ turn) < [2, 2, 6]).all(-1) for turn in rotation]
        return np.stack(inside) * (z_mean[:, 0] > 0)[:, None, None, None].astype(np.float32)

    def canonicalize(self, voxels):
        return voxels


def _objects(*names):
    return {
        name: np.pad(np.ones((4, 6, 8), np.float32), ((6, 6), (5, 5), (4, 4))) for name in names
    }


def test_every_kind_has_a_picture_and_its_meshes(tmp_path, capsys):
    gallery.write_gallery(_Model(), tmp_path, _objects("a", "b", "c"), mesh_format="obj")
    files = {path.name for path in (tmp_path / "meshes").iterdir()}
    expected = {f"sample_{index}.obj" for index in range(4, 8)}  # the others are empty
    expected |= {f"interpolation0_a_to_b_{step}.obj" for step in range(8)}
    expected |= {f"sweep_a_about_z_{angle:03d}.obj" for angle in range(0, 360, 45)}
    assert files == expected
    assert "sample_3" in capsys.readouterr().out
    for name in ("samples", "interpolation", "sweep"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).min() < 128


def test_a_sweeps_meshes_are_turned(tmp_path):
    model = _Model()
    model.decode = lambda z, turns: _Model().decode(z, turns @ np.eye(3)[[1, 2, 0]])
    gallery.write_gallery(model, tmp_path, _objects("a", "b"))
    start, quarter = (
        trimesh.load_mesh(tmp_path / "meshes" / f"sweep_a_about_z_{angle}.ply").extents
        for angle in ("000", "090")
    )
    assert not np.allclose(start[:2], quarter[:2], atol=0.1)
    assert np.allclose(start[[1, 0, 2]], quarter, atol=0.05)


def test_of_a_shape_that_is_empty_now_no_mesh_of_before_is_left(tmp_path):
    model = _Model()
    model.sample = lambda count, seed: np.ones((count, 2), np.float32)
    gallery.write_gallery(model, tmp_path, _objects("a", "b"))
    stale = tmp_path / "meshes" / "sample_0.ply"
    assert stale.exists()
    gallery.write_gallery(_Model("none"), tmp_path, _objects("a", "b"))
    assert not stale.exists() and stale.with_name("sample_7.ply").exists()


@pytest.mark.parametrize("name", ["samples.png", "meshes/sample_0.ply"])
def test_a_file_of_the_users_is_never_replaced_nor_removed(name, tmp_path):
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match=f"{mine.name} is there already"):
        gallery.write_gallery(_Model(), tmp_path, _objects("a", "b"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"
    # One that merely looks like a result, but is none of this call's.
    mine.rename(mine.with_suffix(".stl"))
    gallery.write_gallery(_Model(), tmp_path, _objects("a", "b"))
    assert mine.with_suffix(".stl").read_text() == "mine"


def test_results_of_another_mode_in_the_same_folder_stay(tmp_path):
    mesh_files.claim(tmp_path, ["meshes/chair.ply"])
    other = tmp_path / "meshes" / "chair.ply"
    other.parent.mkdir()
    other.touch()
    gallery.write_gallery(_Model(), tmp_path, _objects("a", "b"))
    assert other.exists()


def test_nothing_of_an_earlier_call_stays_beside_the_new(tmp_path):
    gallery.write_gallery(_Model(), tmp_path, _objects("a", "b"))
    before = set(tmp_path.rglob("[!.]*"))
    (tmp_path / "meshes" / "mine.ply").touch()
    gallery.write_gallery(_Model("none"), tmp_path, _objects("c", "d"), mesh_format="obj")
    left = {path.name for path in before if path.is_file() and path.exists()}
    assert left == {"samples.png", "interpolation.png"}
    assert (tmp_path / "meshes" / "mine.ply").exists()
    # What was removed is a result no more: a file of that name is the user's now.
    theirs = next(path for path in before if path.match("meshes/sample_*"))
    theirs.touch()
    for name in "ef":
        gallery.write_gallery(_Model(), tmp_path, _objects(name, "g"), mesh_format="obj")
    assert theirs.exists()


def test_what_was_there_stays_until_there_is_something_new(tmp_path):
    gallery.write_gallery(_Model(), tmp_path, _objects("a", "b"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    model = _Model()

    def stopped(*_):
        raise KeyboardInterrupt

    model.canonicalize = stopped
    with pytest.raises(KeyboardInterrupt):
        gallery.write_gallery(model, tmp_path, _objects("c", "d"))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_results_that_would_be_replaced_are_no_input(tmp_path):
    gallery.write_gallery(_Model(), tmp_path, _objects("a", "b"))
    mine = tmp_path / "meshes" / "sample_7.ply"
    for source in (mine, mine.parent):
        with pytest.raises(UsageError, match="ply is one of the meshes of the input"):
            gallery.load_objects(source, 16, tmp_path)
    assert list(gallery.load_objects(mine, 16, tmp_path / "else")) == ["sample_7"]


def test_a_model_without_a_pose_has_no_sweep(tmp_path, capsys):
    gallery.write_gallery(_Model("none"), tmp_path, _objects("a", "b"))
    assert not (tmp_path / "sweep.png").exists()
    assert "no sweep" in capsys.readouterr().out


def test_one_object_is_not_enough(tmp_path):
    with pytest.raises(RotdisError, match="two objects; given: a"):
        gallery.write_gallery(_Model(), tmp_path, _objects("a"))


def test_meshes_of_like_names_are_all_kept_and_broken_ones_skipped(tmp_path, capsys):
    box = trimesh.creation.box((1, 2, 3))
    for name in ("a/box.obj", "b/box.obj", "b/box_2.obj", "c/box.obj", "out/meshes/sample.obj"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        box.export(tmp_path / name)
    (tmp_path / "a" / "broken.obj").write_text("v 0 0\n")
    objects = gallery.load_objects(tmp_path, 16, tmp_path / "out")
    assert "skipped: " in capsys.readouterr().out
    assert len(objects) == 4 and all(grid.shape == (16,) * 3 for grid in objects.values())
    with pytest.raises(DataError, match="nothing"):
        gallery.load_objects(tmp_path / "nothing", 16)


def test_meshes_that_are_not_shown_are_said(tmp_path, capsys):
    for number in range(8):
        trimesh.creation.box((1, 2, 3)).export(tmp_path / f"{number}.obj")
    assert len(gallery.load_objects(tmp_path, 16)) == 6
    assert "the first 6 meshes; 2 are not read" in capsys.readouterr().out


def test_meshes_of_long_names_can_be_written(tmp_path):
    for name in ("a" * 240, "\N{GREEK SMALL LETTER ALPHA}" * 120):
        trimesh.creation.box((1, 2, 3)).export(tmp_path / f"{name}.obj")
    objects = gallery.load_objects(tmp_path, 16, tmp_path / "out")
    assert len(objects) == 2
    gallery.write_gallery(_Model(), tmp_path / "out", objects)
    assert list((tmp_path / "out" / "meshes").glob("interpolation*"))


def test_there_are_objects_where_none_are_given():
    objects = gallery.example_objects(16)
    assert len(objects) >= 6 and all(grid.max() > 0.5 for grid in objects.values())
