"""Functions on batches: called once however often they are vmapped, with the same result."""

import jax
import jax.numpy as jnp
import numpy as np

from rotdis.geometry import batching


def test_nested_vmaps_become_one_batch():
    seen = []

    @batching.on_batches
    def scaled_sum(values, factor):
        seen.append((values.shape, factor.shape))
        return jnp.sum(values, axis=1) * factor

    values, factors = jnp.arange(24.0).reshape(2, 3, 4), jnp.array([1.0, 10.0, 100.0])
    result = jax.vmap(jax.vmap(scaled_sum), in_axes=(0, None))(values, factors)
    assert np.array_equal(result, values.sum(2) * factors)
    assert seen[-1] == ((6, 4), (6,))


def test_of_no_examples_there_is_no_result():
    @batching.on_batches
    def doubled(values):
        return 2 * values

    assert jax.vmap(doubled)(jnp.zeros((0, 4))).shape == (0, 4)
    assert jax.vmap(jax.vmap(doubled))(jnp.zeros((2, 0, 4))).shape == (2, 0, 4)


def test_the_largest_divisor_is_one_where_there_is_none():
    assert batching.largest_divisor(24, 10) == 8
    assert batching.largest_divisor(7, 6) == 1
    assert batching.largest_divisor(7, 0) == 1
    assert batching.largest_divisor(7, 100) == 7
