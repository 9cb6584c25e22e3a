"""One canonical frame for alike objects: between training steps, targets for the pose network.

Two views of an object tie its own poses together, but little in the ELBO draws different objects to
one frame: a decoder that knows a class in two frames explains both. So now and then the canonical
forms of the training objects are turned until their faces are parallel to the grid, and compared;
the frames that agree with most comparisons (`synchronize.solve`) decide from then on between
the pose network's hypotheses. No label and no aligned data has a part in it.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

from rotdis import losses
from rotdis.data import order, resident
from rotdis.data.voxelset import VoxelSet
from rotdis.geometry import resample, so3
from rotdis.models import blocks, rotation_vae
from rotdis.objective import make_views
from rotdis.step import TrainState, frames_are_used
from rotdis.synchronize import alikeness, solve

_BATCH = 32  # objects at a time
_STEPS, _RATE = 25, 0.05  # of Adam, in radians, on an object's tilt
# What it counts, per comparison, to leave an object as it is; a clearly worse rotation costs 0.5.
# Of answers on which nearly as many comparisons agree, the network learns the one sooner that turns
# fewer objects. Chosen on ModelNet10's training split among 0 to 0.05 (docs/frames.md).
_INERTIA = 0.03


class Synchronizer:
    """Finds the frames of a run's training objects.

    Args:
        config: the run's configuration.
        split: its training objects.
        mesh: on which the state lies.
    """

    def __init__(self, config: ml_collections.ConfigDict, split: VoxelSet, mesh: Mesh):
        self._config, self._split, self._mesh = config, split, mesh

    def is_due(self, done: int) -> bool:
        """Returns whether frames are to be found after so many steps."""
        return done in due(self._config)

    def __call__(self, state: TrainState) -> TrainState:
        """Returns the state with new frames, a function of the state: a resumed run repeats it."""
        config = self._config
        stride = order.frame_stride(len(self._split), config.frames.capacity)
        chosen = np.arange(0, len(self._split), stride)
        if len(chosen) < 2:
            return state
        params = jax.tree.map(lambda leaf: leaf.addressable_data(0), state.ema_params)
        found, forms = canonical_forms(config, params, self._split, chosen, int(state.step))
        pairs, alike = alikeness.compare(forms, config.frames.neighbours)
        answer, _ = solve.solve(len(found), pairs.edges, pairs.scores, inertia=_INERTIA)
        turns = so3.cube_group()[answer]
        # x = rotate(c, F), and the common form is rotate(c, turn).
        frames = np.zeros(state.frames.shape, np.float32)
        frames[: len(found)] = found @ turns.swapaxes(-1, -2)
        tables = {"frames": frames}
        if state.alike is not None:
            tables["alike"] = np.zeros(state.alike.shape, np.float32)
            tables["alike"][: len(found)] = alikeness.coordinates(alike)
        if jax.process_count() > 1:  # each has found them; the first one's, to the bit, hold
            tables = multihost_utils.broadcast_one_to_all(tables)
        return state.replace(**jax.device_put(tables, NamedSharding(self._mesh, PartitionSpec())))


def due(config: ml_collections.ConfigDict) -> set[int]:
    """Returns after which steps frames are to be found: multiples of log_every before the last."""
    if not frames_are_used(config):
        return set()
    steps, every = config.train.steps, config.train.log_every
    # rounded first: 0.55 * 400 is a little more than 220
    at = {
        math.ceil(round(share * steps / every, 6)) * every for share in config.frames.synchronize_at
    }
    return {step for step in at if step < steps}


def canonical_forms(
    config: ml_collections.ConfigDict,
    params: optax.Params,
    split: VoxelSet,
    index: Int[np.ndarray, " n"],
    step: int,
) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 16 16 16"]]:
    """Returns the frames F that a model finds for objects, and their canonical forms.

    Each object is seen under a random rotation, so how it happens to be stored tells nothing. With
    c its canonical form and x the object as it is stored, x = rotate(c, F). Where the configuration
    wants faces parallel to the grid, F is turned further until they are.
    """
    settings = _Settings(
        rotation_vae.create(config),
        config.data.partial,
        config.data.rotations,
        straighten=config.loss.tilt_weight > 0,
    )
    key = jax.random.fold_in(jax.random.key(config.seed + 2), step)
    parts = []
    for start in range(0, len(index), _BATCH):
        batch = index[start : start + _BATCH]
        padded = np.pad(batch, (0, _BATCH - len(batch)), mode="edge")
        result = _of_batch(
            settings, params, jnp.asarray(split.packed[padded]), jnp.asarray(padded), key
        )
        parts.append([np.asarray(leaf)[: len(batch)] for leaf in result])
    frames, forms = (np.concatenate(part) for part in zip(*parts, strict=True))
    return frames, forms


class _Settings(NamedTuple):
    """What the program below is compiled for."""

    model: rotation_vae.RotationVAE
    partial: bool
    rotations: str
    straighten: bool


@functools.partial(jax.jit, static_argnames="settings")
def _of_batch(
    settings: _Settings,
    params: optax.Params,
    packed: UInt8[Array, "b bytes"],
    index: Int[Array, " b"],
    key: Array,
) -> tuple[Float[Array, "b 3 3"], Float[Array, "b 16 16 16"]]:
    model = settings.model
    x = resident.unpack(packed, model.resolution, settings.partial)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
    views, turns = make_views(x, keys, settings.rotations)
    rotation = model.apply({"params": params}, views[0], method="posteriors")[-1].mode()
    frame = jnp.matmul(jnp.swapaxes(turns[0], -1, -2), rotation, precision="highest")
    if settings.straighten:
        frame = straighten(x, frame)
    return frame, blocks.pool(rotation_vae.canonicalize(x, frame), alikeness.SIDE)


def straighten(x: Float[Array, "b d d d"], frame: Float[Array, "b 3 3"]) -> Float[Array, "b 3 3"]:
    """Turns frames by descent, until the faces of rotate(x, frame^T) are parallel to the grid."""
    optimizer = optax.adam(_RATE)
    product = functools.partial(jnp.matmul, precision="highest")

    def turned(vectors):
        return product(frame, so3.from_rotation_vector(vectors))

    def total_tilt(vectors):
        back = jnp.swapaxes(turned(vectors), -1, -2)
        forms = jax.vmap(resample.rotate)(x[..., None], back)[..., 0]
        return jnp.sum(jax.vmap(losses.tilt)(forms))

    def descend(carry, _):
        vectors, state = carry
        updates, state = optimizer.update(jax.grad(total_tilt)(vectors), state)
        return (vectors + updates, state), None

    start = jnp.zeros((len(x), 3))
    (vectors, _), _ = jax.lax.scan(descend, (start, optimizer.init(start)), length=_STEPS)
    return turned(vectors)
