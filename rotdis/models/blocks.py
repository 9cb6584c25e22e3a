"""Building blocks of the networks: convolutions of stride 1, and exact reshapes between scales.

No convolution is strided or transposed (XLA's backward passes of those are 10-40 times slower than
space-to-depth and a convolution of stride 1), and no normalization mixes examples.
"""

import itertools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from rotdis.models.convolution import convolve


def space_to_depth(x: Float[Array, "b d d d c"], factor: int) -> Float[Array, "b e e e k"]:
    """Folds each cube of factor^3 voxels into channels: D -> D / factor, C -> C factor^3."""
    batch, size, _, _, channels = x.shape
    coarse = size // factor
    x = x.reshape(batch, coarse, factor, coarse, factor, coarse, factor, channels)
    x = x.transpose(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(batch, coarse, coarse, coarse, factor**3 * channels)


def depth_to_space(x: Float[Array, "b e e e k"], factor: int) -> Float[Array, "b d d d c"]:
    """Inverts `space_to_depth`."""
    batch, coarse, _, _, channels = x.shape
    x = x.reshape(batch, coarse, coarse, coarse, factor, factor, factor, channels // factor**3)
    x = x.transpose(0, 1, 4, 2, 5, 3, 6, 7)
    size = coarse * factor
    return x.reshape(batch, size, size, size, channels // factor**3)


def pool(x: Float[Array, "b d d d"], size: int) -> Float[Array, "b s s s"]:
    """Averages down to size^3 voxels; `size` must divide D."""
    return space_to_depth(x[..., None], x.shape[1] // size).mean(-1)


def windows(x: Float[Array, "b d d d c"]) -> Float[Array, "b e e e k"]:
    """Returns the 2x2x2 windows that overlap by half: D -> D - 1, C -> 8 C.

    A dense layer on them is a 2x2x2 convolution without padding, as one matrix product.
    """
    size = x.shape[1] - 1
    corners = itertools.product((0, 1), repeat=3)
    return jnp.concatenate(
        [x[:, i : i + size, j : j + size, k : k + size] for i, j, k in corners], -1
    )


class ResidualConv(nn.Module):
    """x + Conv3x3x3(GELU(LayerNorm(x))), of the input's width."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b d d d c"]) -> Float[Array, "b d d d c"]:
        y = nn.gelu(nn.LayerNorm(dtype=self.dtype)(x))
        convolution = nn.Conv(
            x.shape[-1], (3, 3, 3), dtype=self.dtype, conv_general_dilated=_convolve
        )
        return x + convolution(y)


def _convolve(
    x: Float[Array, "b d d d c"], kernel: Float[Array, "3 3 3 c c"], *args: Any, **kwargs: Any
) -> Float[Array, "b d d d c"]:
    """`convolution.convolve` as `nn.Conv` calls it; its further arguments are all defaults."""
    return convolve(x, kernel)
