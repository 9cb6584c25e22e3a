"""Pose metrics against scipy's rotations and the uniform distribution's closed form."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.metrics import pose


def rotations(*shape: int, seed: int = 0) -> np.ndarray:
    flat = Rotation.random(int(np.prod(shape)), rng=np.random.default_rng(seed)).as_matrix()
    return flat.reshape(*shape, 3, 3)


def test_any_choice_of_canonical_pose_is_perfect():
    views = rotations(50, 2)
    poses = views @ rotations(50, 1, seed=1)  # R = Q F, with one F for both views of an object
    assert np.max(pose.pair_error(views, poses)) < 1e-2


def test_an_error_in_one_view_is_the_pair_error():
    views = rotations(4, 2)
    angles = np.array([0.5, 20.0, 90.0, 179.0])
    axis = np.array([1.0, 2.0, -2.0]) / 3
    slip = Rotation.from_rotvec(np.deg2rad(angles)[:, None] * axis).as_matrix()
    poses = np.stack([views[:, 0], slip @ views[:, 1]], axis=1)
    np.testing.assert_allclose(pose.pair_error(views, poses), angles, atol=1e-2)


def test_ignoring_the_rotation_gives_the_angles_of_uniform_rotations():
    views = rotations(20_000, 2)
    error = pose.pair_error(views, np.broadcast_to(np.eye(3), views.shape))
    # Density (1 - cos t) / pi: mean pi/2 + 2/pi, and the median solves t - sin t = pi/2.
    assert np.mean(error) == pytest.approx(np.rad2deg(np.pi / 2 + 2 / np.pi), abs=1)
    assert np.median(error) == pytest.approx(132.35, abs=1)
    limit = np.deg2rad(60)
    assert pose.accuracy(error, 60) == pytest.approx((limit - np.sin(limit)) / np.pi, abs=0.01)


def test_frames_do_not_depend_on_the_view():
    views, frame = rotations(20, 2), rotations(1)[0]
    for v in range(2):
        found = pose.frames(views[:, v], views[:, v] @ frame)
        np.testing.assert_allclose(found, np.broadcast_to(frame, found.shape), atol=1e-12)


def test_pairwise_angles_are_those_of_all_pairs():
    frames = Rotation.from_rotvec(np.deg2rad([[0, 0, 0], [0, 0, 10], [0, 0, 40]])).as_matrix()
    np.testing.assert_allclose(sorted(pose.pairwise_angles(frames)), [10, 30, 40], atol=1e-3)


def test_blocks_of_pairs_join_without_a_seam(monkeypatch):
    frames = rotations(7)
    whole = pose.pairwise_angles(frames)
    monkeypatch.setattr(pose, "_BLOCK", 4)
    np.testing.assert_allclose(pose.pairwise_angles(frames), whole, atol=1e-3)


def test_one_frame_has_no_pairs():
    assert pose.pairwise_angles(rotations(1)).shape == (0,)
