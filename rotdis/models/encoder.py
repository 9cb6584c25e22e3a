"""The encoder: a volume in its canonical pose -> the posterior of its shape code."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from rotdis.models import blocks


class Encoder(nn.Module):
    """A 3-D convolutional encoder, q(z | x) = Normal(mean, exp(logvar)).

    Patches of (D / grid)^3 voxels become features on a grid^3 grid; two residual stages at grid and
    grid / 2, then a dense head. Its cost hardly depends on D.

    Attributes:
        latent_size: L, the size of the shape code.
        grid: side of the finer feature grid.
        width: channels there; twice as many on the coarser one.
        dtype: of the computation; the outputs are float32.
    """

    latent_size: int
    grid: int = 8
    width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b d d d"]
    ) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
        """Returns mean and log-variance of z."""
        h = blocks.space_to_depth(x[..., None].astype(self.dtype), x.shape[1] // self.grid)
        h = nn.Dense(self.width, dtype=self.dtype)(h)
        h = blocks.ResidualConv(self.dtype)(h)
        h = nn.Dense(2 * self.width, dtype=self.dtype)(blocks.space_to_depth(h, 2))
        h = blocks.ResidualConv(self.dtype)(h)
        h = nn.gelu(nn.LayerNorm(dtype=self.dtype)(h))
        h = nn.Dense(4 * self.width, dtype=self.dtype)(blocks.space_to_depth(h, 2))
        h = nn.gelu(nn.LayerNorm(dtype=self.dtype)(h)).reshape(len(x), -1)
        h = nn.gelu(nn.Dense(4 * self.width, dtype=self.dtype)(h))
        mean, logvar = jnp.split(nn.Dense(2 * self.latent_size, dtype=jnp.float32)(h), 2, -1)
        # A bound on the log-variance, far outside what a useful code has, keeps exp finite.
        return mean, 10 * jnp.tanh(logvar / 10)
