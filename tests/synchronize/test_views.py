"""Laws of the description by views: what the cube's rotations do to it, and what is seen whence."""

import jax.numpy as jnp
import numpy as np
from synchronize.constructed import corner, slab

from rotdis.geometry import resample
from rotdis.synchronize import views


def _by_side(grid, cells=2):
    """Returns the squared features of each of the sides +x, +y, +z, -x, -y and -z."""
    features = views.describe(grid[None], (cells,))[0].features[0, 0]
    return features.reshape(6, cells, cells, 4) ** 2


def test_a_turned_objects_numbers_are_the_objects_permuted():
    volumes = np.stack([corner(np.random.default_rng(seed)) for seed in range(2)])
    copies = np.asarray(resample.cube_copies(jnp.asarray(volumes)))
    as_it_is = views.describe(volumes, (2, 4, 8))
    for g in (0, 5, 13, 22):
        for kind, turned in zip(as_it_is, views.describe(copies[:, g], (2, 4, 8)), strict=True):
            assert np.allclose(turned.features, kind.features[..., kind.order[g]], atol=1e-3)


def test_what_is_turned_by_each_rotation_and_its_inverse_is_as_it_was():
    for cells in (1, 2, 4, 8):
        order = views.permutations(cells)
        assert (np.sort(order, axis=1) == np.arange(24 * cells**2)).all()
        assert (order[0] == np.arange(24 * cells**2)).all()
        assert len(np.unique(order, axis=0)) == 24


def test_a_plain_box_shows_nothing_and_a_drawer_is_seen_from_its_side():
    assert not _by_side(slab()).any()
    grid = slab()
    grid[6:12, 9:11, 15:17] = 0  # into the face towards -y, at low x
    seen = _by_side(grid)
    assert np.isclose(seen.sum(), 1, atol=1e-5)
    assert np.isclose(seen[4].sum(), 1, atol=1e-5)
    low, high = seen[4, 0].sum(), seen[4, 1].sum()
    assert low > 3 * high


def test_a_tilt_is_no_step_and_a_high_step_counts_as_a_lower_one():
    grid = np.zeros((32,) * 3, np.float32)
    top = 16 + np.arange(-10, 10) * 0.1
    for x, height in zip(range(6, 26), top, strict=True):
        full = int(height)
        grid[x, 6:26, 6:full] = 1
        grid[x, 6:26, full] = height - full
    assert _by_side(grid)[2].sum() < 1e-6
    stairs = np.zeros((2, 32, 32, 32), np.float32)
    for one, upper in zip(stairs, (10, 20), strict=True):
        one[6:26, 6:26, 6:10] = 1
        one[6:16, 6:26, 10 : 10 + upper // 2] = 1
        one[6:16, 6:10, 6:28] = 0
    low, high = (_by_side(one) for one in stairs)
    assert np.allclose(low[2], high[2], atol=0.02)


def test_in_any_unit_it_is_the_same_and_nothing_stays_nothing():
    grids = np.stack([corner(), np.zeros((32,) * 3, np.float32)])
    for one, other in zip(
        views.describe(grids, (4, 8)),
        views.describe((grids * 255).astype(np.uint8), (4, 8)),
        strict=True,
    ):
        assert np.allclose(one.features, other.features, atol=2e-2)
        assert np.allclose(np.linalg.norm(one.features[0], axis=1), 1, atol=1e-5)
        assert not one.features[1].any()
