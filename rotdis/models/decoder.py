"""The decoder: a shape code -> a canonical latent volume -> turned by R -> occupancy logits."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rotdis.geometry import resample
from rotdis.models import blocks


class Decoder(nn.Module):
    """A 3-D convolutional decoder that sees the orientation in one place only: a resampling.

    z becomes a canonical latent volume, the rotation turns that volume by trilinear resampling,
    and convolutions turn the result into logits.

    Attributes:
        resolution: D of the output.
        grid: side of the feature grid of the convolutions.
        volume_size: side of the latent volume that is rotated, a multiple of `grid`.
        volume_channels: its channels.
        width: channels at `grid`; twice as many at grid / 2.
        dtype: of the computation; coordinates and logits are float32.
    """

    resolution: int
    grid: int = 8
    volume_size: int = 16
    volume_channels: int = 8
    width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, z: Float[Array, "b l"], rotation: Float[Array, "b 3 3"] | None
    ) -> Float[Array, "b d d d"]:
        """Returns logits; `rotation=None` stands for the identity and skips the resampling."""
        coarse, fold = self.grid // 2, self.volume_size // self.grid
        h = nn.gelu(nn.Dense(4 * self.width, dtype=self.dtype)(z.astype(self.dtype)))
        h = nn.Dense(coarse**3 * 2 * self.width, dtype=self.dtype)(h)
        h = blocks.ResidualConv(self.dtype)(h.reshape(len(z), coarse, coarse, coarse, -1))
        h = blocks.depth_to_space(nn.Dense(8 * self.width, dtype=self.dtype)(h), 2)
        h = blocks.ResidualConv(self.dtype)(h)
        h = nn.Dense(fold**3 * self.volume_channels, dtype=self.dtype)(nn.gelu(h))
        volume = blocks.depth_to_space(h, fold)
        if rotation is not None:
            volume = jax.vmap(resample.rotate)(volume, rotation)
        h = nn.Dense(self.width, dtype=self.dtype)(blocks.space_to_depth(volume, fold))
        h = blocks.ResidualConv(self.dtype)(h)
        h = nn.gelu(nn.LayerNorm(dtype=self.dtype)(h))
        # Sub-pixel output (Shi et al., CVPR 2016): no convolution runs at full resolution.
        cell = self.resolution // self.grid
        # At the start every voxel is as rarely occupied as one of a typical object (5 %).
        empty = nn.initializers.constant(-3.0)
        logits = nn.Dense(cell**3, bias_init=empty, dtype=jnp.float32)(h)
        return blocks.depth_to_space(logits, cell)[..., 0]
