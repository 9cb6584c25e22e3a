"""Jumps along paths of rotations: there where they were put, and only there."""

import numpy as np
import pytest

from rotdis.metrics import continuity, pose


@pytest.fixture(scope="module")
def turns() -> np.ndarray:
    return continuity.paths(5, seed=0)


def test_a_path_is_a_full_turn_in_small_steps_and_closes(turns):
    steps = pose.angles(turns, np.roll(turns, 1, axis=1))
    np.testing.assert_allclose(steps, continuity.STEP, atol=0.01)
    assert len(np.unique(turns[:, 0].round(4), axis=0)) == 5


def test_a_model_that_follows_does_not_jump(turns):
    frame = turns[0, 7]
    followed = continuity.follow(turns, np.ones((5, 72, 3)), turns @ frame, between=2.0)
    assert followed.largest_step.tolist() == [0] * 5
    assert np.max(followed.largest_slip) < 0.05
    assert followed.code_is_continuous.all() and followed.rotation_is_continuous.all()


def test_one_jump_of_the_rotation_is_found(turns):
    rotations = turns.copy()
    rotations[2, 30:] = rotations[2, 30:] @ np.diag([1.0, -1, -1])  # another frame from there on
    followed = continuity.follow(turns, np.ones((5, 72, 3)), rotations, between=2.0)
    assert followed.rotation_is_continuous.tolist() == [True, True, False, True, True]
    assert followed.largest_slip[2] == pytest.approx(180, abs=0.1)


def test_another_pose_that_is_as_right_is_no_jump_for_what_is_symmetric(turns):
    half_turn = np.diag([-1.0, -1, 1])
    rotations = turns.copy()
    rotations[:, 1::3] = rotations[:, 1::3] @ half_turn  # of an object, Q and Q s are one view
    groups = [np.stack([np.eye(3), half_turn])] * 4 + [np.eye(3)[None]]
    frame = turns[0, 7]
    followed = continuity.follow(
        turns, np.ones((5, 72, 3)), rotations @ frame, between=2.0, symmetries=groups
    )
    assert followed.rotation_is_continuous.tolist() == [True] * 4 + [False]
    assert np.max(followed.largest_slip[:4]) < 0.05


def test_one_jump_of_the_code_is_found_where_the_path_closes_too(turns):
    codes = np.zeros((5, 72, 3))
    codes[1, 40:] = 1.0
    codes[3] = np.linspace(0, 1, 72)[:, None]  # in small steps, of which the last is back
    followed = continuity.follow(turns, codes, turns, between=2.0)
    assert followed.code_is_continuous.tolist() == [True, False, True, False, True]
    assert followed.largest_step[[1, 3]] == pytest.approx(3**0.5 / 2)


def test_a_model_that_ignores_the_rotation_slips_by_the_step_alone(turns):
    still = np.broadcast_to(np.eye(3), turns.shape)
    followed = continuity.follow(turns, np.ones((5, 72, 3)), still, between=2.0)
    np.testing.assert_allclose(followed.largest_slip, continuity.STEP, atol=0.01)


def test_an_encoder_that_jumps_at_every_step_is_not_smooth(turns):
    codes = np.random.default_rng(0).normal(size=(5, 72, 3))
    followed = continuity.follow(turns, codes, turns, between=np.sqrt(6))
    assert not followed.code_is_continuous.any()


def test_a_code_that_is_the_same_for_all_makes_no_steps(turns):
    followed = continuity.follow(turns, np.ones((5, 72, 3)), turns, between=0.0)
    assert followed.largest_step.tolist() == [0] * 5
