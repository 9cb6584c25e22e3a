"""The gradient with respect to the rotation: the same in chunks as all at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.geometry import rotation_gradient, so3


@pytest.mark.parametrize("size, channels", [(1, 2), (5, 1), (6, 3)])
@pytest.mark.parametrize("chunk", [1, 200, 2**18])
def test_chunks_of_any_size_give_the_gradient_of_all_at_once(size, channels, chunk, monkeypatch):
    monkeypatch.setattr(rotation_gradient, "_CHUNK", chunk)
    volumes, cotangents = jax.random.normal(
        jax.random.key(size), (2, 4, size, size, size, channels)
    )
    rotations = so3.random_uniform(jax.random.key(3), (4,))
    chunked, at_once = (
        jax.jit(jax.vmap(function))(volumes, cotangents, rotations)
        for function in (rotation_gradient.rotation_gradient, rotation_gradient._plain)
    )
    assert np.allclose(chunked, at_once, rtol=1e-4, atol=1e-4)
    assert size == 1 or np.abs(at_once).max() > 1


def test_it_is_float32_where_jax_may_use_float64():
    """Its forms for different machines are branches of one program, so of one type."""
    with jax.enable_x64(True):
        volumes, cotangents = jax.random.normal(jax.random.key(0), (2, 4, 5, 5, 5, 3), np.float32)
        rotations = jnp.tile(jnp.eye(3, dtype=np.float32), (4, 1, 1))
        found = jax.vmap(rotation_gradient.rotation_gradient)(volumes, cotangents, rotations)
    assert found.dtype == np.float32
