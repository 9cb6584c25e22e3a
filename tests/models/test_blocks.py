"""Laws of the building blocks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.models import blocks


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_depth_to_space_inverts_space_to_depth(factor):
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 8, 3))
    folded = blocks.space_to_depth(x, factor)
    assert folded.shape == (2, 8 // factor, 8 // factor, 8 // factor, 3 * factor**3)
    assert np.array_equal(blocks.depth_to_space(folded, factor), x)


def test_space_to_depth_folds_neighbours_together():
    x = jnp.zeros((1, 4, 4, 4, 1)).at[0, 2:, :2, 2:].set(1.0)
    folded = np.asarray(blocks.space_to_depth(x, 2))
    assert folded[0, 1, 0, 1].sum() == 8 and folded.sum() == 8


def test_pooling_keeps_the_mean():
    x = jax.random.uniform(jax.random.key(1), (2, 8, 8, 8))
    assert np.allclose(blocks.pool(x, 2).mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-6)
    assert np.array_equal(blocks.pool(x, 8), x)


def test_a_dense_layer_on_windows_is_a_convolution():
    x = jax.random.normal(jax.random.key(2), (2, 5, 5, 5, 3))
    kernel = jax.random.normal(jax.random.key(3), (2, 2, 2, 3, 4))
    expected = jax.lax.conv_general_dilated(
        x, kernel, (1, 1, 1), "VALID", dimension_numbers=("NDHWC", "DHWIO", "NDHWC")
    )
    assert np.allclose(blocks.windows(x) @ kernel.reshape(24, 4), expected, atol=1e-4)
