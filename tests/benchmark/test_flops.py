"""Counted operations, and the share of matrix products, of programs where both are known."""

import jax
import jax.numpy as jnp
import pytest

from rotdis.benchmark import flops
from rotdis.models.convolution import convolve


def test_a_matrix_product_has_two_operations_for_each_of_its_terms():
    assert flops.count(jnp.matmul, jnp.ones((8, 16)), jnp.ones((16, 4))) == 2 * 8 * 16 * 4


def test_loops_of_the_cpu_do_not_hide_the_operations_of_a_convolution():
    x, kernel = jnp.ones((64, 8, 8, 8, 16)), jnp.ones((3, 3, 3, 16, 16))
    inside = (22 / 8) ** 3  # of the 27 neighbours, on average
    expected = 2 * inside * 16 * 16 * 64 * 8**3
    assert flops.count(convolve, x, kernel) == pytest.approx(expected, rel=0.01)


def test_the_share_of_matrix_products_is_high_where_there_is_little_else():
    a = jnp.ones((600, 600))

    def share(function):
        compiled = jax.jit(function).lower(a).compile()
        return flops.matrix_share(compiled, lambda: compiled(a))

    product, waves = share(lambda a: a @ a @ a @ a), share(lambda a: jnp.sin(a) + jnp.cos(a.T))
    assert waves == 0 and product > 0.5
