"""What `reconstruct` says of a mesh, with a model whose answer is known."""

import json

import numpy as np
import pytest

from rotdis import reconstruct
from rotdis.data.normalize import enclosing_ball
from rotdis.geometry import so3
from rotdis.models.pose import PosePosterior
from rotdis.models.rotation_vae import Code

trimesh = pytest.importorskip("trimesh")
pytest.importorskip("igl")

GROUP = so3.cube_group()
# The pose is hypothesis 3, though 5 is heavier: the mode of a mixture may be such.
WEIGHTS = np.full(24, 0.01, np.float32)
WEIGHTS[[3, 5]] = 0.3, 0.48


class _Model:
    resolution = 16

    def encode(self, voxels):
        count = len(voxels)
        posterior = PosePosterior(
            np.broadcast_to(GROUP, (count, 24, 3, 3)),
            np.log(np.broadcast_to(WEIGHTS, (count, 24))),
        )
        rotation = np.broadcast_to(GROUP[3], (count, 3, 3))
        return Code(np.zeros((count, 4)), np.zeros((count, 4)), rotation, posterior)

    def decode(self, z_mean, rotation):
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
        assert np.allclose(np.asarray(row["pose"])[:3, :3], GROUP[3].T)
        assert np.isclose(row["weight"], 0.3)
        assert np.isclose(row["runner_up"]["weight"], 0.48)
        assert np.allclose(np.asarray(row["runner_up"]["pose"])[:3, :3], GROUP[5].T)


def test_the_pose_maps_the_mesh_into_the_canonical_frame(folder, tmp_path):
    rows = reconstruct.reconstruct(_Model(), folder, tmp_path / "out")
    mesh = trimesh.load_mesh(folder / rows[0]["file"])
    posed = trimesh.load_mesh(tmp_path / "out" / f"{rows[0]['file']}_canonical.ply")
    moved = mesh.copy().apply_transform(np.asarray(rows[0]["pose"]))
    assert np.allclose(np.sort(moved.bounds), np.sort(posed.bounds), atol=1e-5)
    centre, radius = enclosing_ball(posed.vertices)
    assert np.allclose(centre, 0, atol=1e-5)
    assert np.isclose(radius, np.linalg.norm([1, 2, 3]) / 2, atol=1e-5)


def test_files_of_like_names_do_not_overwrite_each_other_nor_are_results_read_again(folder):
    for _ in range(2):
        rows = reconstruct.reconstruct(_Model(), folder, folder / "out")
        assert [row["file"] for row in rows] == ["a/b_c.obj", "a_b/c.obj"]
    assert len(list((folder / "out").rglob("*_canonical.ply"))) == 2
    assert len(list((folder / "out").rglob("*.png"))) == 2
