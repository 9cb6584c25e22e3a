"""Laws of the description by surfaces: what the cube's rotations do to it, and its scale."""

import jax.numpy as jnp
import numpy as np
from synchronize.constructed import corner, slab

from rotdis.geometry import resample
from rotdis.synchronize import surface


def test_a_turned_objects_numbers_are_the_objects_permuted():
    volumes = np.random.default_rng(7).random((2, 16, 16, 16), np.float32)
    copies = np.asarray(resample.cube_copies(jnp.asarray(volumes)))
    as_it_is = surface.describe(volumes, (4, 8))
    for g in (0, 5, 13, 22):
        for kind, turned in zip(as_it_is, surface.describe(copies[:, g], (4, 8)), strict=True):
            assert np.allclose(turned.features, kind.features[..., kind.order[g]], atol=1e-3)


def test_what_is_turned_by_each_rotation_and_its_inverse_is_as_it_was():
    for cells in (4, 8):
        order = surface.permutations(cells)
        assert (np.sort(order, axis=1) == np.arange(6 * cells**3)).all()
        assert (order[0] == np.arange(6 * cells**3)).all()
        assert len(np.unique(order, axis=0)) == 24


def test_a_face_counts_where_it_lies_and_as_what_it_faces():
    grid = np.zeros((1, 16, 16, 16), np.float32)
    grid[0, 4:12, 4:12, 4:12] = 1
    features = surface.describe(grid, (4,))[0].features[0, 0].reshape(4, 4, 4, 6) ** 2
    assert np.isclose(features.sum(), 1, atol=1e-5)
    # Gradients point inwards: what rises along x is the face at low x.
    assert np.isclose(features[:2, :, :, 0].sum(), 1 / 6, atol=1e-4)
    assert np.isclose(features[2:, :, :, 3].sum(), 1 / 6, atol=1e-4)
    assert not features[2:, :, :, 0].any()


def test_in_any_unit_it_is_the_same_and_nothing_stays_nothing():
    grids = np.stack([corner(), slab(), np.zeros((32,) * 3)])
    for one, other in zip(
        surface.describe(grids.astype(np.float32), (4, 8)),
        surface.describe((grids * 255).astype(np.uint8), (4, 8)),
        strict=True,
    ):
        assert np.allclose(one.features, other.features, atol=2e-2)
        assert np.allclose(np.linalg.norm(one.features[:2], axis=2), 1, atol=1e-5)
        assert not one.features[2].any()
