"""The last word on a pose: which of 24 rotations an upright object stands in, by its surface."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rotdis.geometry import so3
from rotdis.models.pose import PosePosterior
from rotdis.synchronize import surface

_CELLS = 4  # along a side of the object
# What the rotation that the object stands in has ahead of others, in nats: it stands until
# something else is learned.
_AHEAD = 1.0


class FrameNetwork(nn.Module):
    """Tells the rotations of the cube apart in which an object parallel to the grid may stand.

    It sees what the frames of training objects are found by (`synchronize.surface`): how much
    surface lies where and which way it faces, in a few proportions. What a small network learns of
    that holds for other objects, where one of voxels has learned by heart (docs/frames.md). A
    rotation of the cube only permutes these numbers, and one shared network scores every copy, so
    its scores are exactly equivariant to that group; how the object stands counts `_AHEAD` besides.

    Attributes:
        width: of its two hidden layers.
        dtype: of the computation; scores are float32.
    """

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, volumes: Float[Array, "b s s s"]) -> PosePosterior:
        (described,) = jax.vmap(lambda volume: surface.features(volume, (_CELLS,)))(volumes)
        copies = described[..., surface.permutations(_CELLS)]  # (b, k, 24, v), each of norm 1
        copies = jnp.moveaxis(copies, 1, 2).reshape(len(volumes), 24, -1)
        features = copies * described.shape[-1] ** 0.5
        for _ in range(2):
            features = nn.Dense(self.width, dtype=self.dtype)(features)
            features = nn.gelu(nn.LayerNorm(dtype=self.dtype)(features))
        # Small last weights: at the start no rotation is preferred.
        small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        scores = nn.Dense(1, kernel_init=small, dtype=jnp.float32)(features)[..., 0]
        return PosePosterior(
            rotations=jnp.broadcast_to(so3.cube_group(), (len(volumes), 24, 3, 3)),
            log_weights=jax.nn.log_softmax(scores.at[:, 0].add(_AHEAD)),
        )
