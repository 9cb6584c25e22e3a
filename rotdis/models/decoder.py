"""The decoder: a shape code -> a canonical latent volume -> turned by R -> occupancy logits."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rotdis.geometry import resample
from rotdis.models import blocks

_LEAST = 1e-3  # probability


class Decoder(nn.Module):
    """A 3-D convolutional decoder that sees the orientation in one place only: a resampling.

    z becomes a canonical latent volume, the rotation turns that volume by trilinear resampling,
    and convolutions turn the result into logits.

    With `occupancy` the canonical volume has a second scale: the occupancy of the canonical form at
    full resolution, turned likewise. Turned, it is blurred as the objects that are seen are, which
    the convolutions then need not draw: they only correct its logits.

    Attributes:
        resolution: D of the output.
        grid: side of the feature grid of the convolutions.
        volume_size: side of the latent volume that is rotated, a multiple of `grid`.
        volume_channels: its channels.
        width: channels at `grid`; twice as many at grid / 2.
        occupancy: whether the canonical form is drawn, and turned, at full resolution as well.
        dtype: of the computation; coordinates and logits are float32.
    """

    resolution: int
    grid: int = 8
    volume_size: int = 16
    volume_channels: int = 8
    width: int = 64
    occupancy: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        z: Float[Array, "b l"],
        rotation: Float[Array, "b 3 3"] | None,
        learning: Bool[Array, " b"] | None = None,
    ) -> Float[Array, "b d d d"]:
        """Returns logits.

        Args:
            z: shape codes.
            rotation: turns the canonical volume; None stands for the identity, and nothing is
                resampled.
            learning: whose rotations have a gradient by how the occupancy is turned; by default
                all. Far from the right pose so sharp a form does not say which way to turn.
        """
        coarse, fold = self.grid // 2, self.volume_size // self.grid
        cell = self.resolution // self.grid
        # At the start every voxel is as rarely occupied as one of a typical object (5 %).
        empty = nn.initializers.constant(-3.0)
        h = nn.gelu(nn.Dense(4 * self.width, dtype=self.dtype)(z.astype(self.dtype)))
        h = nn.Dense(coarse**3 * 2 * self.width, dtype=self.dtype)(h)
        h = blocks.ResidualConv(self.dtype)(h.reshape(len(z), coarse, coarse, coarse, -1))
        h = blocks.depth_to_space(nn.Dense(8 * self.width, dtype=self.dtype)(h), 2)
        h = nn.gelu(blocks.ResidualConv(self.dtype)(h))
        drawn = 0.0
        if self.occupancy:
            form = nn.Dense(cell**3, bias_init=empty, dtype=jnp.float32, name="form")(h)
            turn = rotation
            if learning is not None:
                turn = jnp.where(learning[:, None, None], turn, jax.lax.stop_gradient(turn))
            drawn = _turned_logits(blocks.depth_to_space(form, cell), turn)[..., 0]
        h = nn.Dense(fold**3 * self.volume_channels, dtype=self.dtype)(h)
        volume = blocks.depth_to_space(h, fold)
        if rotation is not None:
            volume = jax.vmap(resample.rotate)(volume, rotation)
        h = nn.Dense(self.width, dtype=self.dtype)(blocks.space_to_depth(volume, fold))
        h = blocks.ResidualConv(self.dtype)(h)
        h = nn.gelu(nn.LayerNorm(dtype=self.dtype)(h))
        # Sub-pixel output (Shi et al., CVPR 2016): no convolution runs at full resolution.
        start = {"kernel_init": nn.initializers.zeros} if self.occupancy else {"bias_init": empty}
        logits = nn.Dense(cell**3, dtype=jnp.float32, **start)(h)
        return drawn + blocks.depth_to_space(logits, cell)[..., 0]


def _turned_logits(
    logits: Float[Array, "b d d d 1"], rotation: Float[Array, "b 3 3"] | None
) -> Float[Array, "b d d d 1"]:
    """Returns the logits of the turned probabilities: a turned object's are what is interpolated.

    Probabilities are kept off 0 and 1, where what lies outside of the grid is certainly empty.
    """
    if rotation is None:
        return logits
    turned = jax.vmap(resample.rotate)(nn.sigmoid(logits), rotation)
    turned = _LEAST + (1 - 2 * _LEAST) * turned
    return jnp.log(turned) - jnp.log1p(-turned)
