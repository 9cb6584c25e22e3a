"""What a declared symmetry forgives, and nothing else."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.metrics import pose, symmetry


def rotations(*shape: int, seed: int = 0) -> np.ndarray:
    flat = Rotation.random(int(np.prod(shape)), rng=np.random.default_rng(seed)).as_matrix()
    return flat.reshape(*shape, 3, 3)


def about(axis: str, degrees: float) -> np.ndarray:
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


@pytest.mark.parametrize("form, order", [("C1", 1), ("C2", 2), ("C4", 4), ("D2", 4), ("D4", 8)])
def test_a_declaration_is_a_group_about_the_upright_axis(form, order):
    group = symmetry.parse([f"table:{form}"])["table"]
    assert len(group) == order
    products = (group[:, None] @ group).reshape(-1, 3, 3)
    assert np.abs(products[:, None] - group).max(axis=(2, 3)).min(axis=1).max() < 1e-12
    np.testing.assert_allclose(np.abs(group[:, 2, 2]), 1, atol=1e-12)
    assert np.abs(group - np.eye(3)).max(axis=(1, 2)).min() < 1e-12
    assert np.all(group[:, 2, 2] > 0) == form.startswith("C")


@pytest.mark.parametrize("wrong", ["table", "table:", "table:C0", "table:T", ":C2", "table:C2 "])
def test_another_form_is_refused(wrong):
    with pytest.raises(ValueError, match="CLASS:Cn"):
        symmetry.parse([wrong])


def test_a_class_declared_twice_is_refused():
    with pytest.raises(ValueError, match="'table' is declared twice"):
        symmetry.parse(["table:C2", "bed:C2", "table:C4"])


def test_views_confused_by_a_symmetry_are_right():
    group = symmetry.parse(["table:C4"])["table"]
    views = rotations(40, 2)
    inferred = views.copy()
    inferred[:, 1] = views[:, 1] @ group[np.arange(40) % 4]  # s in the source's orientation
    assert np.max(symmetry.pair_error(views, inferred, group)) < 0.1
    np.testing.assert_allclose(
        pose.pair_error(views, inferred), np.resize([0, 90, 180, 90], 40), atol=0.1
    )


def test_a_rotation_outside_of_the_group_is_an_error_still():
    group = symmetry.parse(["table:C2"])["table"]
    views = rotations(20, 2)
    for degrees, expected in ((50, 50), (90, 90), (170, 10)):
        inferred = np.stack([views[:, 0], views[:, 1] @ about("z", degrees)], axis=1)
        error = symmetry.pair_error(views, inferred, group)
        np.testing.assert_allclose(error, expected, atol=0.1)
    tipped = np.stack([views[:, 0], views[:, 1] @ about("x", 180)], axis=1)
    np.testing.assert_allclose(symmetry.pair_error(views, tipped, group), 180, atol=0.1)


def test_without_a_symmetry_it_is_the_pair_error():
    views, inferred = rotations(30, 2), rotations(30, 2, seed=1)
    np.testing.assert_allclose(
        symmetry.pair_error(views, inferred, symmetry.IDENTITY),
        pose.pair_error(views, inferred),
        atol=1e-2,
    )


def test_an_object_without_a_symmetry_is_not_forgiven_it():
    views = rotations(2, 2)
    inferred = np.stack([views[:, 0], views[:, 1] @ about("z", 180)], axis=1)
    group = symmetry.parse(["table:C2"])["table"]
    holds = np.array([[True, True], [True, False]])
    error = symmetry.pair_error(views, inferred, group, holds)
    np.testing.assert_allclose(error, [0, 180], atol=0.1)


def test_frames_that_differ_by_a_symmetry_are_one():
    group = symmetry.parse(["table:D2"])["table"]
    frame = rotations(1)[0]
    angles = symmetry.frame_angles(group @ frame, frame[None], group)
    assert np.max(angles) < 0.1
    # On the other side a turn is one of the canonical form, and no symmetry of the object.
    assert np.max(symmetry.frame_angles(frame @ group, frame[None], group)) > 5


def test_the_common_frame_is_that_of_most_and_not_their_mean():
    frame = rotations(1)[0]
    slips = Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.03, (12, 3))).as_matrix()
    frames = np.concatenate([slips[:7] @ frame, slips[7:] @ about("x", 90) @ frame])
    found = symmetry.common_frame(frames)
    assert pose.angles(found[None], frame[None])[0] < 3


def test_the_common_frame_gathers_what_a_symmetry_spreads():
    group = symmetry.parse(["table:C4"])["table"]
    frame = rotations(1)[0]
    others = rotations(2, seed=5)
    frames = np.concatenate([group @ frame, others, others[:1]])
    found = symmetry.common_frame(frames, group)
    assert symmetry.frame_angles(found[None], frame[None], group)[0, 0] < 0.1
    assert pose.angles(symmetry.common_frame(frames)[None], others[:1])[0] < 0.1


def test_the_only_frame_is_the_common_one():
    frame = rotations(1)
    np.testing.assert_allclose(symmetry.common_frame(frame), frame[0], atol=1e-6)


def test_two_objects_frames_are_compared_up_to_what_either_of_them_hides():
    half, quarter = about("z", 180), about("z", 90)
    frame = rotations(1)[0]
    frames = np.stack([frame, half @ frame, about("z", 60) @ frame, about("x", 90) @ frame])
    groups = [np.stack([np.eye(3), half]), *[symmetry.IDENTITY] * 3]
    between = symmetry.own_frame_angles(frames, groups)
    expected = [[0, 0, 60, 90], [0, 0, 120, 180], [60, 120, 0, 0], [90, 180, 0, 0]]
    expected = np.array(expected, float)
    for i, j in ((1, 3), (2, 3)):
        expected[i, j] = expected[j, i] = pose.angles(frames[i], frames[j])
    np.testing.assert_allclose(between, expected, atol=0.05)
    both = [np.stack([np.eye(3), half]), np.stack([np.eye(3), quarter])]
    frames = np.stack([frame, about("z", 90) @ frame])
    assert symmetry.own_frame_angles(frames, both)[0, 1] == pytest.approx(0, abs=1e-4)


def test_frames_without_a_symmetry_are_compared_as_they_are():
    frames = rotations(12)
    np.testing.assert_allclose(
        symmetry.own_frame_angles(frames, [symmetry.IDENTITY] * 12),
        symmetry.frame_angles(frames, frames),
        atol=0.05,
    )
