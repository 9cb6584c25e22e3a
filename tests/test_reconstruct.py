"""What `reconstruct` says of a mesh, with a model whose answer is known."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis import reconstruct
from rotdis.data import normalize
from rotdis.data.meshes import MeshError
from rotdis.data.normalize import enclosing_ball
from rotdis.geometry import resample, so3
from rotdis.mesh_batches import Account, voxelize_files
from rotdis.models.pose import PosePosterior
from rotdis.models.rotation_vae import Code

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("igl")

GROUP = so3.cube_group()
# The pose is hypothesis 13, a third of a turn, though 5 is heavier: the mode may be such.
WEIGHTS = np.full(24, 0.01, np.float32)
WEIGHTS[[13, 5]] = 0.3, 0.48


class _Model:
    resolution = 16

    def __init__(self):
        self.seen, self.decoded_at = [], []

    def encode(self, voxels):
        self.seen.append(voxels)
        count = len(voxels)
        posterior = PosePosterior(
            np.broadcast_to(GROUP, (count, 24, 3, 3)),
            np.log(np.broadcast_to(WEIGHTS, (count, 24))),
        )
        rotation = np.broadcast_to(GROUP[13], (count, 3, 3))
        return Code(np.zeros((count, 4)), np.zeros((count, 4)), rotation, posterior)

    def decode(self, z_mean, rotation):
        self.decoded_at.append(rotation)
        ball = np.linalg.norm(np.indices((16,) * 3) - 7.5, axis=0) < 5
        return np.broadcast_to(ball.astype(np.float32), (len(z_mean), 16, 16, 16))

    def canonicalize(self, voxels):
        return voxels


@pytest.fixture
def folder(tmp_path):
    mesh = trimesh.creation.box((1, 2, 3), trimesh.transformations.translation_matrix((5, 6, 7)))
    for name in ("a/b_c.obj", "a_b/c.obj"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        mesh.export(tmp_path / "in" / name)
    return tmp_path / "in"


def test_the_weight_is_the_poses_own_and_the_runner_up_is_another(folder, tmp_path):
    rows = reconstruct.reconstruct(_Model(), folder, tmp_path / "out")
    assert rows == json.loads((tmp_path / "out" / "poses.json").read_text())
    for row in rows:
        assert np.allclose(np.asarray(row["pose"])[:3, :3], GROUP[13].T)
        assert np.isclose(row["weight"], 0.3)
        assert np.isclose(row["runner_up"]["weight"], 0.48)
        assert np.allclose(np.asarray(row["runner_up"]["pose"])[:3, :3], GROUP[5].T)


def test_the_pose_maps_the_mesh_into_the_canonical_frame(folder, tmp_path):
    rows = reconstruct.reconstruct(_Model(), folder, tmp_path / "out")
    mesh = trimesh.load_mesh(folder / rows[0]["file"], process=False)
    posed = trimesh.load_mesh(tmp_path / "out" / rows[0]["canonical"], process=False)
    expected = trimesh.transform_points(mesh.vertices, rows[0]["pose"])
    assert np.allclose(posed.vertices, expected, atol=1e-6)
    centre, radius = enclosing_ball(posed.vertices)
    assert np.allclose(centre, 0, atol=1e-5)
    assert np.isclose(radius, np.linalg.norm([1, 2, 3]) / 2, atol=1e-5)
    rebuilt = trimesh.load_mesh(tmp_path / "out" / rows[0]["reconstruction"])
    assert np.allclose(rebuilt.bounds.sum(axis=0), 0, atol=1e-3)  # about the same centre
    # A ball of radius 5 voxels, where the mesh's fills seven eighths of 8: in the mesh's units.
    unit = radius / (normalize.RADIUS_FRACTION * 8)
    assert np.allclose(np.ptp(rebuilt.bounds, axis=0), 2 * 5 * unit, rtol=0.1)


def test_the_model_sees_what_it_was_trained_on_and_decodes_the_canonical_form(folder, tmp_path):
    model = _Model()
    reconstruct.reconstruct(model, folder, tmp_path / "out")
    path = folder / "a" / "b_c.obj"
    assert np.allclose(model.seen[0][0], normalize.normalize(path, 16), atol=1e-6)
    reconstruct.infer(model, path)
    assert np.allclose(model.seen[1][0], model.seen[0][0], atol=1e-6)
    assert all((rotation == np.eye(3)).all() for rotation in model.decoded_at)


def test_the_picture_shows_the_input_turned_back(folder, tmp_path, monkeypatch):
    drawn = []
    draw = reconstruct.pictures.draw
    monkeypatch.setattr(
        reconstruct.pictures, "draw", lambda v, c: drawn.append(np.asarray(v)) or draw(v, c)
    )
    model = _Model()
    reconstruct.reconstruct(model, folder, tmp_path / "out")
    voxels, canonical, _ = drawn
    expected = resample.cube_copies(jnp.asarray(voxels))[:, 13]
    assert np.abs(voxels - canonical).max() > 0.5
    assert np.allclose(canonical, expected, atol=1e-4)


def test_files_of_like_names_do_not_overwrite_each_other_nor_are_results_read_again(folder):
    for _ in range(2):
        rows = reconstruct.reconstruct(_Model(), folder, folder / "out")
        assert [row["file"] for row in rows] == ["a/b_c.obj", "a_b/c.obj"]
    assert len(list((folder / "out" / "canonical").rglob("*.obj"))) == 2
    assert len(list((folder / "out").rglob("*.png"))) == 2


def test_the_codes_are_those_of_the_files_in_order(folder, tmp_path):
    reconstruct.reconstruct(_Model(), folder, tmp_path / "out", mesh_format="glb")
    with np.load(tmp_path / "out" / "codes.npz") as codes:
        assert codes["source"].tolist() == ["a/b_c.obj", "a_b/c.obj"]
        assert codes["z_mean"].shape == (2, 4)
    assert (tmp_path / "out" / "canonical" / "a" / "b_c.glb").exists()


def test_bad_files_are_reported_and_skipped(folder, tmp_path, capsys):
    (folder / "cut.off").write_text("OFF\n3 1 0\n0 0 0\n")
    trimesh.Trimesh(np.eye(3), [[0, 1, 2]]).export(folder / "flat.stl")
    (folder / "empty.glb").touch()
    rows = reconstruct.reconstruct(_Model(), folder, tmp_path / "out")
    assert [row["file"] for row in rows] == ["a/b_c.obj", "a_b/c.obj"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [row["file"] for row in report["skipped"]] == ["cut.off", "empty.glb", "flat.stl"]
    assert all(row["reason"].startswith(row["file"]) for row in report["skipped"])
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("reconstruct: 2 of 5 done") and last.endswith("report.json")


def test_nothing_of_an_earlier_call_stays_of_a_file_that_is_skipped_now(folder, tmp_path):
    reconstruct.reconstruct(_Model(), folder, tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("c.obj*"))) == 3
    (folder / "a_b" / "c.obj").write_text("v 0 0\n")
    reconstruct.reconstruct(_Model(), folder, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("c.obj*"))
    assert len(list((tmp_path / "out").rglob("b_c.obj*"))) == 3


def test_hypotheses_that_are_one_pose_share_their_weight(folder, tmp_path):
    near = GROUP.copy()
    near[4] = GROUP[13] @ Rotation.from_rotvec([0, 0, 10], degrees=True).as_matrix()
    model = _Model()
    encode = model.encode

    def lean(voxels):
        code = encode(voxels)
        rotations = np.broadcast_to(near, (len(voxels), 24, 3, 3))
        return code.replace(posterior=code.posterior.replace(rotations=rotations))

    model.encode = lean
    row = reconstruct.reconstruct(model, folder, tmp_path / "out")[0]
    assert np.isclose(row["weight"], 0.31) and np.isclose(row["runner_up"]["weight"], 0.48)


def test_in_python_meshes_and_paths_are_taken_alike(folder):
    path = folder / "a" / "b_c.obj"
    mesh = trimesh.load_mesh(path)
    from_path, from_mesh = reconstruct.infer(_Model(), [path, mesh])
    assert np.allclose(from_path.pose, from_mesh.pose)
    upright = mesh.apply_transform(from_mesh.pose)
    assert np.allclose(upright.bounds.sum(axis=0), 0, atol=1e-6)
    assert from_path.mesh().is_watertight and from_path.z.shape == (4,)
    assert reconstruct.infer(_Model(), []) == []


def test_in_python_one_mesh_or_a_scene_will_do_and_what_is_no_mesh_is_named(folder):
    path = next(folder.rglob("*.obj"))
    (expected,) = reconstruct.infer(_Model(), [path])
    mesh = trimesh.load_mesh(path)
    for source in (path, str(path), mesh, trimesh.Scene(mesh), [trimesh.Scene(mesh)]):
        (found,) = reconstruct.infer(_Model(), source)
        assert np.allclose(found.pose, expected.pose, atol=1e-6)
    with pytest.raises(MeshError, match="PointCloud is no mesh"):
        reconstruct.infer(_Model(), [trimesh.PointCloud(mesh.vertices)])


def test_many_files_are_read_by_several_processes_in_order(tmp_path):
    paths = []
    for number in range(130):
        paths.append(tmp_path / f"{number:03d}.stl")
        trimesh.creation.box((1, 1, 1 + number / 50)).export(paths[-1])
    paths[7].write_text("solid nothing")
    names = [path.name for path in paths]
    account = Account(names)
    found = list(voxelize_files(paths, names, 16, 1, account, workers=2))
    assert [one.index for one in found] == [i for i in range(130) if i != 7]
    radii = [np.linalg.norm([1, 1, 1 + one.index / 50]) / 2 for one in found]
    assert np.allclose([one.radius for one in found], radii, rtol=1e-5)
    assert list(account.skipped) == ["007.stl"]
