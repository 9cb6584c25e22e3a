"""Probes between the two parts: of codes that hold the rotation, and of such that do not."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.geometry import so3
from rotdis.metrics import rotation_information as information


def rotations(count: int, seed: int) -> np.ndarray:
    return Rotation.random(count, rng=np.random.default_rng(seed)).as_matrix()


LEARN, ASK = rotations(300, 0), rotations(200, 1)


def codes_with(turns: np.ndarray, seed: int) -> np.ndarray:
    """Returns rotations and noise, mixed over twelve dimensions."""
    rng = np.random.default_rng(seed)
    mixing = np.linalg.qr(np.random.default_rng(9).normal(size=(12, 12)))[0]
    noise = rng.normal(0, 0.02, (len(turns), 3))
    return np.concatenate([turns.reshape(-1, 9), noise], axis=1) @ mixing


def test_a_code_that_holds_the_rotation_is_found_out():
    codes = codes_with(LEARN, 0), codes_with(ASK, 1)
    error, chance = information.rotation_error(codes[0], LEARN, codes[1], ASK)
    assert np.median(error) < 10
    assert np.median(chance) == pytest.approx(132.3, abs=12)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_a_code_without_the_rotation_is_as_good_as_chance(scale):
    rng = np.random.default_rng(0)
    learn, ask = scale * rng.normal(size=(300, 6)), scale * rng.normal(size=(200, 6))
    for angles in information.rotation_error(learn, LEARN, ask, ASK):
        assert np.median(angles) == pytest.approx(132.3, abs=12)


def test_the_error_of_objects_left_out_is_that_of_leaving_them_out(monkeypatch):
    """Of two penalties the one is chosen that is better by actually leaving objects out."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import LeaveOneOut, cross_val_predict

    codes, asked, turns = codes_with(LEARN, 0)[:40], codes_with(ASK, 1), LEARN[:40]
    scaled, scaled_asked = ((c - codes.mean(0)) / codes.std(0) for c in (codes, asked))
    flat, penalties = turns.reshape(-1, 9), (0.01, 1.0)
    models = [KernelRidge(alpha=a, kernel="rbf", gamma=1 / (10 * 12)) for a in penalties]
    losses = [
        np.mean((cross_val_predict(m, scaled, flat, cv=LeaveOneOut()) - flat) ** 2) for m in models
    ]
    best = models[int(np.argmin(losses))].fit(scaled, flat)
    expected = information.nearest_rotation(best.predict(scaled_asked).reshape(-1, 3, 3))
    monkeypatch.setattr(information, "_WIDTHS", (10.0,))
    monkeypatch.setattr(information, "_PENALTIES", penalties)
    error, _ = information.rotation_error(codes, turns, asked, ASK)
    np.testing.assert_allclose(error, information.pose.angles(expected, ASK), atol=0.01)


def test_the_rotation_tells_a_class_that_prefers_poses():
    label = np.arange(300) % 3
    near = Rotation.from_rotvec(np.random.default_rng(2).normal(0, 0.1, (300, 3))).as_matrix()
    poses = near @ rotations(3, 5)[label]
    right, chance = information.class_told_by_rotation(
        poses[:200], label[:200], poses[200:], label[200:]
    )
    assert np.mean(right) > 0.95
    assert np.mean(chance) == pytest.approx(1 / 3, abs=0.02)


def test_uniform_rotations_tell_no_class():
    truth = np.arange(200) % 3
    right, chance = information.class_told_by_rotation(LEARN, np.arange(300) % 3, ASK, truth)
    assert np.mean(right) == pytest.approx(1 / 3, abs=0.12)
    assert np.mean(chance) == pytest.approx(1 / 3, abs=0.02)


def test_a_frequent_class_is_often_right_by_chance():
    learn, truth = (np.arange(300) % 10 > 0).astype(int), (np.arange(200) % 10 > 0).astype(int)
    right, chance = information.class_told_by_rotation(LEARN, learn, ASK, truth)
    assert np.mean(chance) == pytest.approx(np.mean(right), abs=0.03)
    assert np.mean(right) > 0.85


@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
def test_of_equal_rotations_all_have_a_vote(order):
    """Rotations of the cube, half of which are of the first class three times out of four."""
    rng = np.random.default_rng(0)

    def draw(count):
        place = rng.integers(24, size=count)
        label = (rng.random(count) < np.where(place < 12, 0.25, 0.75)).astype(int)
        return so3.cube_group()[place], label

    (learn, label), (ask, truth) = draw(1200), draw(400)
    by = {"sorted": np.argsort(label), "reversed": np.argsort(-label), "shuffled": slice(None)}
    by = by[order]
    right, chance = information.class_told_by_rotation(learn[by], label[by], ask, truth)
    assert np.mean(right) == pytest.approx(0.75, abs=0.06)
    assert np.mean(chance) == pytest.approx(0.5, abs=0.06)


def test_few_training_objects_are_enough_to_be_asked():
    right, chance = information.class_told_by_rotation(
        LEARN[:2], np.array([3, 3]), ASK[:4], np.array([3, 3, 3, 1])
    )
    assert right.tolist() == chance.tolist() == [1, 1, 1, 0]


def test_the_nearest_rotation_is_one_and_keeps_rotations():
    np.testing.assert_allclose(information.nearest_rotation(LEARN), LEARN, atol=1e-12)
    matrices = np.random.default_rng(0).normal(size=(50, 3, 3))
    nearest = information.nearest_rotation(matrices)
    np.testing.assert_allclose(np.linalg.det(nearest), 1)
    distance = np.linalg.norm(matrices - nearest, axis=(1, 2))
    for other in rotations(200, 7):
        assert np.all(distance <= np.linalg.norm(matrices - other, axis=(1, 2)) + 1e-9)
