"""Wrong poses are told by what they do to an object that stands on its feet."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from untrained import Untrained, objects

from rotdis.evaluate import evaluate
from rotdis.geometry import so3
from rotdis.report import confusion


@pytest.fixture(scope="module")
def predictions():
    return evaluate(Untrained(), objects(), (), seed=0, batch_size=4, max_train=0).predictions


def _turn(axes, degrees):
    return Rotation.from_euler(axes, degrees, degrees=True).as_matrix()


def _with(predictions, errors):
    """Returns predictions whose canonical forms are right but for `errors`, (n, 2, 3, 3)."""
    frames = errors @ Rotation.random(random_state=1).as_matrix()
    found = predictions.views @ frames
    return dataclasses.replace(predictions, rotations=found.astype(np.float32))


@pytest.mark.parametrize(
    "axes, degrees, kind",
    [("z", 20, 0), ("z", 80, 1), ("z", -90, 1), ("z", 170, 2), ("x", 180, 3), ("zx", [90, 180], 3),
     ("y", 100, 4), ("xz", [90, 45], 4)],
)  # fmt: skip
def test_a_rotation_is_of_the_kind_that_it_is_nearest_to(axes, degrees, kind):
    assert confusion.kind_of(_turn(axes, degrees)[None])[0] == kind


def test_of_the_24_four_are_upright_four_upside_down_and_sixteen_lie():
    kinds = confusion.kind_of(np.asarray(so3.cube_group()))
    np.testing.assert_array_equal(np.bincount(kinds), [1, 2, 1, 4, 16])


def test_confusion_between_views_is_that_of_the_second_view(predictions):
    errors = np.tile(np.eye(3), (6, 2, 1, 1))
    errors[0, 1] = _turn("z", 180)  # a bar, as object 2 and 4
    everything, bars, slabs = confusion.between_views(_with(predictions, errors))
    np.testing.assert_allclose(everything.shares, [5 / 6, 0, 1 / 6, 0, 0])
    np.testing.assert_allclose(bars.shares, [2 / 3, 0, 1 / 3, 0, 0])
    np.testing.assert_allclose(slabs.shares, [1, 0, 0, 0, 0])
    assert (bars.name, bars.objects) == ("bar <&>", 3)


def test_confusion_between_objects_is_against_the_commonest_frame(predictions):
    errors = np.tile(np.eye(3), (6, 2, 1, 1))
    errors[3] = _turn("x", 180)
    predictions = _with(predictions, errors)
    _, bars, slabs = confusion.between_objects(predictions)
    np.testing.assert_allclose(bars.shares, [1, 0, 0, 0, 0])
    np.testing.assert_allclose(slabs.shares, [2 / 3, 0, 0, 1 / 3, 0])
    angles = confusion.angle_to_class(predictions, np.array([1, 3, 5]), 30.0)
    np.testing.assert_allclose(angles, [0, 180, 0], atol=0.1)


def test_what_a_class_is_declared_blind_to_is_no_angle(predictions):
    errors = np.tile(np.eye(3), (6, 2, 1, 1))
    errors[3] = _turn("z", 180)
    declared = {"slab": np.stack([np.eye(3), _turn("z", 180)])}
    blind = dataclasses.replace(_with(predictions, errors), symmetries=declared)
    angles = confusion.angle_to_class(blind, np.array([1, 3, 5]), 30.0)
    np.testing.assert_allclose(angles, 0, atol=0.1)


def test_the_commonest_frame_is_found_up_to_what_a_class_is_declared_blind_to():
    """Two frames look alike, and neither is commoner than the third."""
    predictions = evaluate(
        Untrained(), objects(10), (), seed=0, batch_size=10, max_train=0
    ).predictions
    errors = np.tile(np.eye(3), (10, 2, 1, 1))
    slabs = np.arange(1, 10, 2)
    errors[slabs[:2]], errors[slabs[2]] = _turn("x", 90), _turn("z", 180)
    declared = {"slab": np.stack([np.eye(3), _turn("z", 180)])}
    blind = dataclasses.replace(_with(predictions, errors), symmetries=declared)
    angles = confusion.angle_to_class(blind, slabs, 30.0)
    np.testing.assert_allclose(angles, [90, 90, 0, 0, 0], atol=0.1)


def test_small_errors_are_on_the_diagonal_of_the_matrix(predictions):
    errors = np.tile(_turn("xyz", [8, -9, 10]), (6, 2, 1, 1))
    errors[:, 0] = np.eye(3)
    counts, blocks = confusion.matrix(_with(predictions, errors))
    assert counts.trace() == counts.sum() == 6
    assert len(set(blocks)) == 6
    errors[2, 1] = _turn("x", 90)
    counts, _ = confusion.matrix(_with(predictions, errors))
    assert counts.trace() == 5 and counts.sum() == 6
