"""Pose inference: 24 hypotheses on SO(3) from one small network, equivariant by construction."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rotdis.geometry import batching, resample, so3
from rotdis.models import blocks

# Of the density whose mode is the inferred pose. Chosen on ModelNet10's validation split among 1,
# 2.5, 5, 10 and 20; all of them found more poses than the largest weight alone.
MODE_CONCENTRATION = 5.0

# Objects at a time, on a CPU: the features of more fall out of its caches.
_CHUNK_CPU = 4

_NUMBERS = {"6d": 6, "svd": 9}  # that a residual rotation is written in


@flax.struct.dataclass
class PosePosterior:
    """A mixture over SO(3), one component for every rotation of the cube.

    Attributes:
        rotations: the hypotheses R_g, object = rotate(canonical form, R_g).
        log_weights: the logarithms of their probabilities, which sum to 1.
    """

    rotations: Float[Array, "b 24 3 3"]
    log_weights: Float[Array, "b 24"]

    def after(self, rotation: Float[Array, "b 3 3"]) -> "PosePosterior":
        """Returns what this posterior of a form c says of the object rotate(c, rotation)."""
        turned = jnp.matmul(rotation[:, None], self.rotations, precision="highest")
        return self.replace(rotations=turned)

    def heaviest(self) -> Float[Array, "b 3 3"]:
        """Returns the hypothesis of largest weight."""
        return self._hypothesis(self.log_weights)

    def mode(self) -> Float[Array, "b 3 3"]:
        """Returns the hypothesis at which the mixture's density is highest.

        Several hypotheses may lean towards one pose and share its weight; each then counts for the
        others, by the kernel exp(-`MODE_CONCENTRATION` |R - R'|_F^2). Modes are never averaged.
        """
        difference = self.rotations[:, :, None] - self.rotations[:, None]
        kernel = -MODE_CONCENTRATION * jnp.sum(difference**2, axis=(-2, -1))
        return self._hypothesis(jax.nn.logsumexp(self.log_weights[:, None] + kernel, axis=2))

    def _hypothesis(self, score: Float[Array, "b 24"]) -> Float[Array, "b 3 3"]:
        index = jnp.argmax(score, axis=1)
        return jnp.take_along_axis(self.rotations, index[:, None, None, None], axis=1)[:, 0]


class PoseNetwork(nn.Module):
    """Infers the pose of an object by lifting it to the 24 rotations of the cube.

    The input, averaged down to `grid`^3, is turned by the inverse of every rotation g of the cube
    (an exact permutation of its voxels), and one shared network gives each copy a score and a
    residual rotation r: hypothesis g is R_g = g r(g^-1 x), with weight softmax(score)_g. Turning
    the input by a rotation of the cube permutes the copies and hence turns every hypothesis by it:
    the inference is exactly equivariant to that group, and what is left for the network to learn
    is a residual that never has far to go.

    Attributes:
        grid: side of the volume that the network sees, a multiple of 16.
        width: channels of the network.
        residual: how it writes rotations, "6d" (`so3.from_6d`) or "svd" (`so3.from_matrix`).
        dtype: of the computation; scores, residuals and rotations are float32.
    """

    grid: int = 16
    width: int = 64
    residual: str = "6d"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b d d d"]) -> PosePosterior:
        volumes = blocks.pool(x, self.grid)
        trunk = _Trunk(1 + _NUMBERS[self.residual], self.width, self.dtype)
        if self.is_initializing():
            trunk(volumes)
        trunk, variables = trunk.unbind()
        judge = functools.partial(jax.jit(trunk.apply), variables)
        output = jax.lax.platform_dependent(
            volumes, cpu=functools.partial(_in_chunks, judge), default=judge
        )
        return PosePosterior(
            rotations=jnp.einsum(
                "gij,bgjk->bgik",
                so3.cube_group(),
                _near_identity(output[..., 1:], self.residual),
                precision="highest",
            ),
            log_weights=jax.nn.log_softmax(output[..., 0]),
        )


def _in_chunks(judge: Callable, volumes: Float[Array, "b d d d"]) -> Float[Array, "b 24 k"]:
    """Applies a function to a few volumes at a time, in the backward pass too.

    There, what the forward pass computed is computed again, which is faster than to fetch it from
    memory.
    """
    size = batching.largest_divisor(len(volumes), _CHUNK_CPU)
    chunks = volumes.reshape(-1, size, *volumes.shape[1:])
    output = jax.lax.map(jax.checkpoint(judge), chunks)
    return output.reshape(len(volumes), *output.shape[2:])


class _Trunk(nn.Module):
    """Volumes -> a few numbers for every copy of each, small at the start.

    Patches of 4^3 voxels, side by side, then twice windows of 2^3 cells that overlap by half.
    """

    outputs: int
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, volumes: Float[Array, "b d d d"]) -> Float[Array, "b 24 k"]:
        copies = resample.cube_copies(volumes.astype(self.dtype))
        copies = copies.reshape(-1, *volumes.shape[1:], 1)
        features = blocks.space_to_depth(copies, 4)
        features = nn.Dense(self.width, dtype=self.dtype)(features)
        for factor in (2, 3):
            features = nn.gelu(nn.LayerNorm(dtype=self.dtype)(features))
            features = nn.Dense(factor * self.width, dtype=self.dtype)(blocks.windows(features))
        features = nn.gelu(nn.LayerNorm(dtype=self.dtype)(features))
        features = nn.Dense(4 * self.width, dtype=self.dtype)(features.reshape(len(copies), -1))
        features = nn.gelu(nn.LayerNorm(dtype=self.dtype)(features))
        # Small last weights: at the start every residual is close to the identity.
        small = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")
        output = nn.Dense(self.outputs, kernel_init=small, dtype=jnp.float32)(features)
        return output.reshape(len(volumes), 24, -1)


def _near_identity(numbers: Float[Array, "... k"], residual: str) -> Float[Array, "... 3 3"]:
    """Returns the rotation that numbers stand for, the identity where they are zero."""
    identity = jnp.eye(3, dtype=numbers.dtype)
    if residual == "6d":
        return so3.from_6d(numbers + identity[:, :2].T.reshape(6))
    return so3.from_matrix(numbers.reshape(*numbers.shape[:-1], 3, 3) + identity)
