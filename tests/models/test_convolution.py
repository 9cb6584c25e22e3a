"""The convolution as matrix products: the same as XLA's, value and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.models import convolution
from rotdis.models.convolution import convolve


def _xla(x, kernel):
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1, 1),
        "SAME",
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        precision="highest",
    )


def _arrays(batch, size, channels, features):
    keys = jax.random.split(jax.random.key(0), 3)
    return (
        jax.random.normal(keys[0], (batch, size, size, size, channels)),
        jax.random.normal(keys[1], (3, 3, 3, channels, features)),
        jax.random.normal(keys[2], (batch, size, size, size, features)),
    )


def _value_and_gradients(function, *arguments):
    def both(x, kernel, cotangent):
        value, pullback = jax.vjp(function, x, kernel)
        return value, *pullback(cotangent)

    return jax.jit(both)(*arguments)


@pytest.mark.parametrize("shape", [(6, 4, 3, 5), (7, 3, 2, 2), (1, 1, 1, 1)])
@pytest.mark.parametrize("chunk", [1, 500, 2**16])
def test_value_and_gradients_are_those_of_xlas_convolution(shape, chunk, monkeypatch):
    monkeypatch.setattr(convolution, "_CHUNK", chunk)
    ours, theirs = (_value_and_gradients(f, *_arrays(*shape)) for f in (convolve, _xla))
    for mine, expected in zip(ours, theirs, strict=True):
        assert mine.shape == expected.shape
        assert np.allclose(mine, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_bfloat16_products_are_summed_in_float32():
    arrays = [array.astype(jnp.bfloat16) for array in _arrays(4, 4, 64, 8)]
    ours = _value_and_gradients(convolve, *arrays)
    exact = _value_and_gradients(_xla, *(array.astype(jnp.float32) for array in arrays))
    for mine, expected in zip(ours, exact, strict=True):
        assert mine.dtype == jnp.bfloat16
        error = np.abs(np.asarray(mine, np.float32) - expected).max()
        assert error < 2**-8 * np.abs(expected).max()
