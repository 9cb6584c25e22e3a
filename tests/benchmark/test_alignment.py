"""Angles between frames of objects of known orientation, against what can be worked out by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.benchmark import alignment
from rotdis.metrics.symmetry import IDENTITY

HALF_TURN = np.stack([np.eye(3), np.diag([-1.0, -1.0, 1.0])])


def _poses(turns, frames):
    """Returns rigid motions that undo the turns up to the frames."""
    poses = {}
    for (name, turn), frame in zip(turns.items(), frames, strict=True):
        poses[name] = np.eye(4)
        poses[name][:3, :3] = frame.T @ turn.T
    return poses


def test_frames_are_compared_within_a_class_however_the_objects_were_turned():
    names = ["a/0.obj", "a/1.stl", "a/2.ply", "b/0.glb", "b/1.obj"]
    turns = dict(zip(names, Rotation.random(5, rng=0).as_matrix(), strict=True))
    lean = Rotation.from_euler("x", [[0], [10], [30], [0], [180]], degrees=True).as_matrix()
    found = alignment.measure(_poses(turns, lean), turns, dict.fromkeys(names, IDENTITY))
    assert found.keys() == {"a", "b"}
    np.testing.assert_allclose(found["a"], [10, 30, 20], atol=1e-4)
    np.testing.assert_allclose(found["b"], [180], atol=1e-4)


def test_a_symmetry_of_either_object_is_forgiven():
    frames = Rotation.from_euler("z", [[0], [180]], degrees=True).as_matrix()
    assert alignment.angles(frames, [IDENTITY, IDENTITY]) == pytest.approx(180)
    for groups in ([IDENTITY, HALF_TURN], [HALF_TURN, IDENTITY], [HALF_TURN, HALF_TURN]):
        assert alignment.angles(frames, groups) == pytest.approx(0, abs=1e-4)


def test_meshes_are_the_furniture_turned_as_is_told(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    placed = alignment.write_meshes(tmp_path, each=1, seed=3)
    assert {name.rpartition(".")[2] for name in placed} == set(alignment.FORMATS)
    (name,) = [name for name in placed if name.startswith("chair/")]
    found = trimesh.load(tmp_path / name, force="mesh", process=False)
    furniture = alignment.furniture
    seed = furniture.object_seed("test", "chair", 0, 3)
    points = furniture.make_object("chair", seed).vertices @ placed[name].turn.T
    size = np.ptp(points, axis=0)
    scale = np.ptp(found.vertices, axis=0) / size
    np.testing.assert_allclose(scale, scale[0], rtol=1e-4)
    centred = [v - (v.max(0) + v.min(0)) / 2 for v in (np.asarray(found.vertices), points)]
    assert np.abs(centred[0].min(0) / scale - centred[1].min(0)).max() < 1e-3
