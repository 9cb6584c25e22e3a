"""Reconstruction metrics against counts made by hand."""

import jax
import numpy as np

from rotdis.metrics import reconstruction
from rotdis.metrics.reconstruction import Confusion


def grid(*occupied: int) -> np.ndarray:
    flat = np.zeros(8, np.float32)
    flat[list(occupied)] = 1.0
    return flat.reshape(2, 2, 2)


def test_every_voxel_is_counted_once():
    counts = reconstruction.confusion(grid(0, 1, 2), 0.6 * grid(1, 2, 3))
    assert [int(count) for count in counts] == [2, 1, 1, 4]


def test_a_voxel_at_the_threshold_is_empty():
    assert int(reconstruction.confusion(grid(0), 0.5 * grid(0)).false_negative) == 1


def test_iou_is_intersection_over_union_of_each_object():
    targets = np.stack([grid(0, 1, 2), grid(0, 1), grid(4)])
    guesses = np.stack([grid(1, 2, 3), grid(0, 1), grid(5)])
    counts = jax.vmap(reconstruction.confusion)(targets, guesses)
    np.testing.assert_allclose(reconstruction.iou(counts), [0.5, 1.0, 0.0])


def test_two_empty_grids_agree_and_an_empty_prediction_does_not():
    targets = np.stack([grid(), grid(0)])
    counts = jax.vmap(reconstruction.confusion)(targets, np.zeros_like(targets))
    np.testing.assert_allclose(reconstruction.iou(counts), [1.0, 0.0])


def test_squared_error_is_summed_over_the_voxels():
    assert float(reconstruction.squared_error(grid(0, 1), 0.5 * grid(1, 2))) == 1 + 0.25 + 0.25


def test_rates_pool_the_voxels_of_all_objects():
    counts = Confusion(*np.array([[1, 9], [2, 0], [1, 0], [4, 2]]))
    assert reconstruction.true_positive_rate(counts) == 10 / 11
    assert reconstruction.true_negative_rate(counts) == 6 / 8


def test_rates_of_no_voxels_are_undefined():
    nothing = Confusion(*np.zeros((4, 1), int))
    assert reconstruction.true_positive_rate(nothing) is None
    assert reconstruction.true_negative_rate(nothing) is None
