"""What is materialized keeps its value; `test_step` tests that it is computed once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.geometry.materialize import materialize


def test_values_are_kept():
    arrays = {"a": jnp.arange(4.0), "b": (jnp.arange(3),)}
    kept = jax.jit(materialize)(arrays, jnp.ones(2))
    jax.tree.map(np.testing.assert_array_equal, kept, arrays)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="only a CPU's program has the loop")
def test_a_guard_that_is_not_finite_spoils_them():
    spoilt = jax.jit(materialize)((jnp.ones(3), jnp.arange(3)), jnp.array([1.0, jnp.nan]))
    assert np.isnan(spoilt[0]).all() and (spoilt[1] == -1).all()
