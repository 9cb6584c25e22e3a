"""Boxes of any sides become one box; a rotation of the cube commutes with it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from synchronize.constructed import corner, slab

from rotdis.geometry import resample
from rotdis.synchronize import proportions


@functools.partial(jax.jit, static_argnums=1)
def _stretched(volumes, amount):
    return jax.vmap(lambda volume: proportions.stretched(volume, amount))(volumes)


def _extent(grid):
    return np.array([np.ptp(np.flatnonzero(grid.max(axis=others) > 0.5)) + 1
                     for others in ((1, 2), (0, 2), (0, 1))])  # fmt: skip


def _boxes():
    boxes = np.zeros((3, 32, 32, 32), np.float32)
    boxes[0, 4:28, 10:18, 12:20] = 1
    boxes[1, 13:18, 13:18, 13:18] = 1
    boxes[2, 1:9, 2:31, 15:17] = 1  # off the centre
    return boxes


def test_stretched_all_the_way_boxes_of_any_sides_fill_the_same_box():
    for grid in np.asarray(_stretched(_boxes(), 1.0)):
        assert np.abs(_extent(grid) - 32 * proportions.FILLED).max() <= 2
        middle = [np.average(np.arange(32), weights=grid.sum(axis=a)) for a in ((1, 2), (0, 2))]
        assert np.allclose(middle, 15.5, atol=0.1)


def test_stretched_half_way_the_ratio_of_two_sides_is_the_root_of_what_it_was():
    (grid,) = np.asarray(_stretched(_boxes()[:1], 0.5))
    long, short, _ = _extent(grid)
    assert long / short == pytest.approx(np.sqrt(24 / 8), rel=0.15)


def test_unstretched_a_centred_object_is_unchanged():
    grid = slab()[None]
    assert np.allclose(_stretched(grid, 0.0), grid, atol=1e-5)


def test_turning_by_the_cube_before_or_after_is_the_same():
    copies = np.asarray(resample.cube_copies(jnp.asarray(corner()[None])))[0]
    stretched = _stretched(copies, 0.7)
    again = np.asarray(resample.cube_copies(jnp.asarray(stretched[:1])))[0]
    np.testing.assert_allclose(again, stretched, atol=1e-4)


def test_nothing_stays_nothing():
    assert not np.asarray(_stretched(np.zeros((1, 32, 32, 32), np.float32), 1.0)).any()
