"""The model: pose network, canonicalizing encoder and rotating decoder put together."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
from jaxtyping import Array, Bool, Float

from rotdis.geometry import resample
from rotdis.models import blocks, search
from rotdis.models.decoder import Decoder
from rotdis.models.encoder import Encoder
from rotdis.models.frame import FrameNetwork
from rotdis.models.pose import PoseNetwork, PosePosterior

POSE_NETWORKS = ("pose", "second")  # as the parameters are called
_REFINE_RATE = 0.02  # radians; a network's pose is a few degrees off


@flax.struct.dataclass
class Code:
    """What the model infers of a batch of objects.

    Attributes:
        z_mean: mean of the posterior of the shape code.
        z_logvar: its log-variance.
        rotation: R, which turns the canonical form into the object: x = rotate(c, R).
        posterior: all hypotheses on R with their weights; None without a pose network.
        earlier: what the posterior was before that, each seen by a network less upright.
    """

    z_mean: Float[Array, "b l"]
    z_logvar: Float[Array, "b l"]
    rotation: Float[Array, "b 3 3"]
    posterior: PosePosterior | None
    earlier: tuple[PosePosterior, ...] = ()


class RotationVAE(nn.Module):
    """A 3-D VAE whose code is a shape in one canonical pose and the rotation out of it.

    With `pose_method="none"` it is the plain 3-D VAE of the same encoder and decoder: the rotation
    is the identity, and nothing is resampled.

    Attributes:
        resolution: D, a multiple of 16.
        latent_size: L.
        pose_method: "mixture", "search" or "none".
        second_width: of the pose network that sees the object upright; 0 for none.
        frame_width: of the network that decides last, by the surface; 0 for none.
        refine_steps: of gradient descent on the negative ELBO after that, outside of training.
        search: how rotations are searched, for the method "search".
        kl_weight: of the KL in what is searched or descended.
        grid, width, pose_grid, pose_width, pose_residual, volume_size, volume_channels, occupancy:
            see the parts.
        dtype: of the computation; parameters, coordinates, codes and logits are float32.
    """

    resolution: int
    latent_size: int
    pose_method: str
    grid: int
    width: int
    pose_grid: int
    pose_width: int
    pose_residual: str
    second_width: int
    frame_width: int
    refine_steps: int
    search: search.SearchSettings
    kl_weight: float
    volume_size: int
    volume_channels: int
    occupancy: bool
    dtype: Any = jnp.float32

    def setup(self) -> None:
        if self.pose_method == "mixture":
            rest = (self.pose_residual, self.dtype)
            self.pose = PoseNetwork(self.pose_grid, self.pose_width, *rest)
            if self.second_width:
                self.second = PoseNetwork(self.pose_grid, self.second_width, *rest)
            if self.frame_width:
                self.frame = FrameNetwork(self.frame_width, self.dtype)
        self.encoder = Encoder(self.latent_size, self.grid, self.width, self.dtype)
        self.decoder = Decoder(
            self.resolution,
            self.grid,
            self.volume_size,
            self.volume_channels,
            self.width,
            self.occupancy,
            self.dtype,
        )

    def encode(self, x: Float[Array, "b d d d"]) -> Code:
        """Infers pose and shape code of objects in any orientation."""
        return self.infer(x)[0]

    def infer(
        self,
        x: Float[Array, "b d d d"],
        training: bool = False,
        origin: tuple[Float[Array, "b d d d"], Float[Array, "b 3 3"]] | None = None,
        keys: Array | None = None,
    ) -> tuple[Code, Float[Array, "b d d d"]]:
        """Infers pose and shape code, and returns the canonical forms from which the code is read.

        Args:
            x: the objects.
            training: take the heaviest hypothesis, rather than the mixture's mode, as the pose.
            origin: objects o and rotations Q from which x = rotate(o, Q) was made. The canonical
                form is then resampled from o, by the product of both rotations: x, blurred by the
                first interpolation already, would be blurred by another.
            keys: one random key per object, from which a search starts; by default the same ones
                for all, so that an object always gets the same answer.
        """
        posterior, earlier = None, ()
        if self.pose_method == "mixture":
            *earlier, posterior = self.posteriors(x, training, origin)
            rotation = _choose(posterior, training)
            if self.refine_steps and not (training or self.is_initializing()):
                rotation, _ = search.refine(
                    self._negative_elbo(), (x, origin), rotation, self.refine_steps, _REFINE_RATE
                )
        elif self.pose_method == "search" and not self.is_initializing():
            if keys is None:
                keys = jnp.broadcast_to(jax.random.key(0), (len(x),))
            rotation = search.search(self._negative_elbo(), (x, origin), keys, self.search)
        else:
            rotation = jnp.broadcast_to(jnp.eye(3), (len(x), 3, 3))
        if self.pose_method != "none":
            x = canonicalize(x, rotation, origin)
        mean, logvar = self.encoder(x)
        return Code(mean, logvar, rotation, posterior, tuple(earlier)), x

    def posteriors(
        self,
        x: Float[Array, "b d d d"],
        training: bool = False,
        origin: tuple[Float[Array, "b d d d"], Float[Array, "b 3 3"]] | None = None,
    ) -> list[PosePosterior]:
        """Returns what the pose networks find, each on seeing objects as the one before turns them.

        A network that sees an object askew finds its axes, but confuses which is which and which
        way up it is. Turned back by that first guess, all that is left to decide is this, between
        24 copies whose faces are parallel to the grid, and the angles can be corrected. The last
        network decides alone, between the corrected copies. Arguments as in `infer`.
        """
        found = [self.pose(x)]
        if not (self.second_width or self.frame_width):
            return found
        # Small volumes: the networks see no more of them.
        x = blocks.pool(x, self.pose_grid)
        if origin is not None:
            origin = (blocks.pool(origin[0], self.pose_grid), origin[1])
        if self.second_width:
            rotation = jax.lax.stop_gradient(_choose(found[-1], training))
            found.append(self.second(canonicalize(x, rotation, origin)).after(rotation))
        if self.frame_width:
            rotation = _choose(found[-1], training)  # whose angles go on learning
            upright = canonicalize(x, jax.lax.stop_gradient(rotation), origin)
            found.append(self.frame(upright).after(rotation))
        return found

    def _negative_elbo(self) -> search.NegativeElbo:
        encoder, encoder_variables = self.encoder.unbind()
        decoder, decoder_variables = self.decoder.unbind()
        return search.make_negative_elbo(
            (encoder_variables, decoder_variables),
            canonicalize,
            lambda variables, x: encoder.apply(variables[0], x),
            lambda variables, z, rotation: decoder.apply(variables[1], z, rotation),
            self.kl_weight,
        )

    def decode(
        self,
        z: Float[Array, "b l"],
        rotation: Float[Array, "b 3 3"],
        learning: Bool[Array, " b"] | None = None,
    ) -> Float[Array, "b d d d"]:
        """Returns occupancy logits of shapes z turned by `rotation`; `learning` as in `Decoder`."""
        if self.pose_method == "none":
            return self.decoder(z, None)
        return self.decoder(z, rotation, learning)

    def __call__(self, x: Float[Array, "b d d d"]) -> Float[Array, "b d d d"]:
        """Returns the logits of the reconstruction; initializes every parameter."""
        code = self.encode(x)
        return self.decode(code.z_mean, code.rotation)


def _choose(posterior: PosePosterior, training: bool) -> Float[Array, "b 3 3"]:
    return posterior.heaviest() if training else posterior.mode()


def canonicalize(
    x: Float[Array, "b d d d"],
    rotation: Float[Array, "b 3 3"],
    origin: tuple[Float[Array, "b d d d"], Float[Array, "b 3 3"]] | None = None,
) -> Float[Array, "b d d d"]:
    """Turns objects back by their inferred rotations; `origin` as in `RotationVAE.infer`."""
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
        pose_residual=config.pose.residual,
        second_width=config.pose.second_width,
        frame_width=config.pose.frame_width,
        refine_steps=config.pose.refine_steps,
        search=search.SearchSettings(
            rotations="cube" if config.data.rotations == "cube" else "so3", **config.search
        ),
        kl_weight=config.loss.kl_weight,
        volume_size=config.model.volume_size,
        volume_channels=config.model.volume_channels,
        occupancy=config.model.occupancy,
        dtype=jnp.dtype(config.model.dtype),
    )
