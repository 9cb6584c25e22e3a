"""The model: pose network, canonicalizing encoder and rotating decoder put together."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Float

from rotdis.geometry import resample
from rotdis.models.decoder import Decoder
from rotdis.models.encoder import Encoder
from rotdis.models.pose import PoseNetwork, PosePosterior


@flax.struct.dataclass
class Code:
    """What the model infers of a batch of objects.

    Attributes:
        z_mean: mean of the posterior of the shape code.
        z_logvar: its log-variance.
        rotation: R, which turns the canonical form into the object: x = rotate(c, R).
        posterior: all hypotheses on R with their weights; None without a pose network.
    """

    z_mean: Float[Array, "b l"]
    z_logvar: Float[Array, "b l"]
    rotation: Float[Array, "b 3 3"]
    posterior: PosePosterior | None


class RotationVAE(nn.Module):
    """A 3-D VAE whose code is a shape in one canonical pose and the rotation out of it.

    With `pose_method="none"` it is the plain 3-D VAE of the same encoder and decoder: the rotation
    is the identity, and nothing is resampled.

    Attributes:
        resolution: D, a multiple of 16.
        latent_size: L.
        pose_method: "mixture" or "none".
        grid, width, pose_width, volume_size, volume_channels: see the parts.
        dtype: of the computation; parameters, coordinates, codes and logits are float32.
    """

    resolution: int
    latent_size: int
    pose_method: str
    grid: int
    width: int
    pose_grid: int
    pose_width: int
    volume_size: int
    volume_channels: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        if self.pose_method == "mixture":
            self.pose = PoseNetwork(self.pose_grid, self.pose_width, self.dtype)
        self.encoder = Encoder(self.latent_size, self.grid, self.width, self.dtype)
        self.decoder = Decoder(
            self.resolution,
            self.grid,
            self.volume_size,
            self.volume_channels,
            self.width,
            self.dtype,
        )

    def encode(
        self,
        x: Float[Array, "b d d d"],
        training: bool = False,
        origin: tuple[Float[Array, "b d d d"], Float[Array, "b 3 3"]] | None = None,
    ) -> Code:
        """Infers pose and shape code of objects in any orientation.

        Args:
            x: the objects.
            training: take the heaviest hypothesis, rather than the mixture's mode, as the pose.
            origin: objects o and rotations Q from which x = rotate(o, Q) was made. The canonical
                form is then resampled from o, by the product of both rotations: x, blurred by the
                first interpolation already, would be blurred by another.
        """
        if self.pose_method == "none":
            posterior, rotation = None, jnp.broadcast_to(jnp.eye(3), (len(x), 3, 3))
        else:
            posterior = self.pose(x)
            rotation = posterior.heaviest() if training else posterior.mode()
            x = canonicalize(x, rotation, origin)
        mean, logvar = self.encoder(x)
        return Code(mean, logvar, rotation, posterior)

    def decode(
        self, z: Float[Array, "b l"], rotation: Float[Array, "b 3 3"]
    ) -> Float[Array, "b d d d"]:
        """Returns occupancy logits of the shape z turned by `rotation`."""
        return self.decoder(z, None if self.pose_method == "none" else rotation)

    def __call__(self, x: Float[Array, "b d d d"]) -> Float[Array, "b d d d"]:
        """Returns the logits of the reconstruction; initializes every parameter."""
        code = self.encode(x)
        return self.decode(code.z_mean, code.rotation)


def canonicalize(
    x: Float[Array, "b d d d"],
    rotation: Float[Array, "b 3 3"],
    origin: tuple[Float[Array, "b d d d"], Float[Array, "b 3 3"]] | None = None,
) -> Float[Array, "b d d d"]:
    """Turns objects back by their inferred rotations; `origin` as in `RotationVAE.encode`."""
    back = jnp.swapaxes(rotation, -1, -2)
    if origin is not None:
        x, turned = origin
        back = jnp.matmul(back, turned, precision="highest")
    return jax.vmap(resample.rotate)(x[..., None], back)[..., 0]


def create(config: ml_collections.ConfigDict) -> RotationVAE:
    """Builds the model that a validated configuration describes."""
    return RotationVAE(
        resolution=config.data.resolution,
        latent_size=config.model.latent_size,
        pose_method=config.pose.method,
        grid=config.model.grid,
        width=config.model.width,
        pose_grid=config.pose.grid,
        pose_width=config.pose.width,
        volume_size=config.model.volume_size,
        volume_channels=config.model.volume_channels,
        dtype=jnp.dtype(config.model.dtype),
    )
