"""The device-resident loader: a whole split in device memory, batches drawn inside jit.

No TensorFlow and no host work per step; for splits that fit (ModelNet10 at 32^3 is 20 MB as bits).
"""

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, UInt8

from rotdis.data.order import batch_indices
from rotdis.data.voxelset import VoxelSet


def place(split: VoxelSet, mesh: Mesh) -> UInt8[Array, "n bytes"]:
    """Copies a split's packed voxels to every device of the mesh."""
    return jax.device_put(split.packed, NamedSharding(mesh, PartitionSpec()))


def draw(
    packed: UInt8[Array, "n bytes"], seed: int, step: Array, batch_size: int
) -> UInt8[Array, "b bytes"]:
    """Draws the global batch of a step, still packed; call it inside jit."""
    return packed[batch_indices(seed, step, len(packed), batch_size)]


def unpack(
    packed: UInt8[Array, "b bytes"], resolution: int, partial: bool
) -> Float[Array, "b d d d"]:
    """Unpacks voxels on the device to float32 occupancy in [0, 1]; see `voxelset.pack`."""
    flat = packed / jnp.float32(255) if partial else jnp.unpackbits(packed, axis=1)
    flat = flat[:, : resolution**3].astype(jnp.float32)
    return flat.reshape(len(packed), resolution, resolution, resolution)
