"""A trained model in use: load, encode, decode, canonicalize, on arrays in and out."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from jax.sharding import AxisType
from jaxtyping import Array, Float

from rotdis import checkpoint, compatibility, packaged, run_folder
from rotdis.errors import CheckpointError
from rotdis.geometry import so3
from rotdis.models import rotation_vae
from rotdis.models.rotation_vae import Code, RotationVAE
from rotdis.packaged import archive
from rotdis.step import AXIS, init_state

BATCH = 32  # objects at a time; smaller calls are padded to a power of two, larger ones are cut
_OUTSIDE = 1e-3  # how far from [0, 1] rounding may leave an occupancy


class Model:
    """A trained model with NumPy arrays in and out.

    Any batch size works: inside, batches are padded to a few sizes, each compiled once.

    Attributes:
        config: the configuration of its training run.
        resolution: D, the side of the grids that it takes and gives.
        latent_size: L, the size of the shape code.
    """

    def __init__(self, config: ml_collections.ConfigDict, params: optax.Params):
        self.config = config
        self.resolution: int = config.data.resolution
        self.latent_size: int = config.model.latent_size
        self.params = params
        self._module = rotation_vae.create(config)

    def encode(self, voxels: Float[np.ndarray, "b d d d"]) -> Code:
        """Infers the shape code (`z_mean`, `z_logvar`) and the `rotation` of every object.

        Args:
            voxels: normalized objects (`rotdis.normalize`) in any orientation.

        Raises:
            ValueError: the grids are not of this model's resolution, or not in [0, 1].
        """
        return self._batched(_encode, self._check(voxels))

    def decode(
        self, z_mean: Float[np.ndarray, "b l"], rotation: Float[np.ndarray, "b 3 3"]
    ) -> Float[np.ndarray, "b d d d"]:
        """Returns the occupancy probabilities of shapes `z_mean`, turned by `rotation`.

        A plain VAE (`config.pose.method` "none") has learned no frame to turn them in: it decodes
        them as it saw them, whatever the rotation.

        Raises:
            ValueError: the shapes are not (B, L) and (B, 3, 3), or the matrices no rotations.
        """
        z_mean = np.asarray(z_mean, np.float32)
        rotation = np.asarray(rotation, np.float32)
        if z_mean.shape[1:] != (self.latent_size,) or rotation.shape != (len(z_mean), 3, 3):
            raise ValueError(
                f"decode takes codes (B, {self.latent_size}) and rotations (B, 3, 3), "
                f"not {z_mean.shape} and {rotation.shape}"
            )
        so3.require_rotations(rotation)
        return self._batched(_decode, z_mean, rotation)

    def canonicalize(self, voxels: Float[np.ndarray, "b d d d"]) -> Float[np.ndarray, "b d d d"]:
        """Returns the objects turned into their canonical pose.

        Raises:
            ValueError: the grids are not of this model's resolution, or not in [0, 1].
        """
        return self._batched(_canonicalize, self._check(voxels))

    def sample(self, count: int, seed: int = 0) -> Float[np.ndarray, "n l"]:
        """Draws shape codes from the prior, a standard normal distribution.

        The same seed gives the same codes on every machine, and a larger count gives more of them.
        """
        random = np.random.default_rng(seed)
        return random.standard_normal((count, self.latent_size), np.float32)

    def _check(self, voxels) -> np.ndarray:
        voxels = np.asarray(voxels, np.float32)
        if voxels.ndim != 4 or voxels.shape[1:] != (self.resolution,) * 3:
            raise ValueError(
                f"this model takes grids (B, {self.resolution}, {self.resolution}, "
                f"{self.resolution}), not {voxels.shape}; rotdis.normalize makes one of any source"
            )
        # A comparison with what is no number is false.
        if voxels.size and not (voxels.min() >= -_OUTSIDE and voxels.max() <= 1 + _OUTSIDE):
            raise ValueError(
                "this model takes occupancies in [0, 1], and these grids hold others; "
                "rotdis.normalize makes them of any grid"
            )
        return voxels

    def _batched(self, function, *arrays: np.ndarray):
        """Applies one of `_encode`, ... to batches of a few fixed sizes, and joins the results."""
        function = functools.partial(function, self._module)
        count = len(arrays[0])
        if count == 0:
            one = (np.zeros((1, *array.shape[1:]), array.dtype) for array in arrays)
            result = jax.eval_shape(function, self.params, *one)
            return jax.tree.map(lambda leaf: np.zeros((0, *leaf.shape[1:]), leaf.dtype), result)
        results = []
        for start in range(0, count, BATCH):
            chunk = [array[start : start + BATCH] for array in arrays]
            size = len(chunk[0])
            padded = min(BATCH, 1 << (size - 1).bit_length())
            chunk = [
                np.pad(array, [(0, padded - size)] + [(0, 0)] * (array.ndim - 1), mode="edge")
                for array in chunk
            ]
            result = function(self.params, *(jnp.asarray(array) for array in chunk))
            results.append(jax.tree.map(lambda leaf, n=size: np.asarray(leaf)[:n], result))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *results)


# Models of one configuration share what is compiled: a run's validation and evaluation, say.
@functools.partial(jax.jit, static_argnums=0)
def _encode(module: RotationVAE, params: optax.Params, voxels: Float[Array, "b d d d"]) -> Code:
    return module.apply({"params": params}, voxels, method="encode")


@functools.partial(jax.jit, static_argnums=0)
def _decode(
    module: RotationVAE,
    params: optax.Params,
    z: Float[Array, "b l"],
    rotation: Float[Array, "b 3 3"],
) -> Float[Array, "b d d d"]:
    return jax.nn.sigmoid(module.apply({"params": params}, z, rotation, method="decode"))


@functools.partial(jax.jit, static_argnums=0)
def _canonicalize(
    module: RotationVAE, params: optax.Params, voxels: Float[Array, "b d d d"]
) -> Float[Array, "b d d d"]:
    code = module.apply({"params": params}, voxels, method="encode")
    return rotation_vae.canonicalize(voxels, code.rotation)


def load(source: str | Path) -> Model:
    """Loads a trained model.

    Args:
        source: the name of a model that comes with rotdis; an exported model's file; or a training
            run's directory. The name goes first: a directory of the same name is `./NAME`.

    Raises:
        CheckpointError: it is none of these, has no checkpoint yet, is damaged, or is of a version
            that this one cannot read.
    """
    path = packaged.find(source) or Path(source)
    if path.is_file():
        return load_file(path)
    if not path.is_dir():
        known = ", ".join(packaged.names()) or "none"
        raise CheckpointError(
            f"{source}: no such training run or model file, nor the name, a string, of a packaged "
            f"model (there are: {known})"
        )
    return load_run(path)


def load_file(path: str | Path) -> Model:
    """Loads an exported model (`--mode=export`).

    Raises:
        CheckpointError: the file is damaged, of another format, or holds other parameters than the
            model of its configuration has.
    """
    stored = archive.read(path)
    config = compatibility.complete(stored.config, path)
    try:
        module = rotation_vae.create(config)
        example = jax.ShapeDtypeStruct((1, *(module.resolution,) * 3), jnp.float32)
        expected = jax.eval_shape(module.init, jax.random.key(0), example)["params"]
    except Exception as error:  # whatever sizes that do not fit together raise in the model's parts
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path}: its configuration is of no model ({reason})") from error
    archive.check_same_tree(path, stored.params, expected)
    return Model(config, jax.tree.map(jnp.asarray, stored.params))


def load_run(run: str | Path) -> Model:
    """Loads the averaged parameters of a training run's best checkpoint.

    The best is the one of highest IoU on the validation split, or the newest where no checkpoint
    has been evaluated.

    Raises:
        CheckpointError: there is no such run, or it has no checkpoint.
    """
    config, params, _ = restore(run)
    return Model(config, params)


def restore(run: str | Path) -> tuple[ml_collections.ConfigDict, optax.Params, int]:
    """Returns configuration, averaged parameters and step of a run's best checkpoint.

    Raises:
        CheckpointError: there is no such run, or it has no checkpoint.
    """
    if not Path(run).is_dir():
        known = packaged.find(run)
        hint = "; it is a packaged model, which --mode=evaluate takes" if known else ""
        raise CheckpointError(f"{run}: no such training run{hint}")
    config = compatibility.complete(run_folder.load_config(run).to_dict(), run)
    if not run_folder.holds_checkpoint(run):
        raise CheckpointError(f"{run}: holds no checkpoint yet; train it first (--mode=train)")
    template = jax.eval_shape(lambda: init_state(rotation_vae.create(config), config).ema_params)
    checkpoints = checkpoint.Checkpoints(run, read_only=True)
    try:
        mesh = jax.make_mesh(
            (1,), (AXIS,), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:1]
        )
        params, step = checkpoints.restore_averaged(template, mesh, checkpoints.best_step())
    finally:
        checkpoints.close()
    return config, params, step
