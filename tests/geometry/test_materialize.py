"""What is materialized keeps its value; `test_step` tests that it is computed once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.geometry.materialize import materialize


@pytest.mark.parametrize("source", [[1.0, 2.0], [jnp.nan, jnp.inf]])
def test_values_are_kept(source):
    arrays = {"a": jnp.arange(4.0), "b": (jnp.arange(3),)}
    kept = jax.jit(materialize)(arrays, jnp.array(source))
    jax.tree.map(np.testing.assert_array_equal, kept, arrays)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="only a CPU's program has the loop")
def test_the_compiler_does_not_see_through_it():
    program = jax.jit(lambda x: materialize(jnp.sin(x), x)).lower(jnp.ones(9)).compile().as_text()
    assert " while(" in program
