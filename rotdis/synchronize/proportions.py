"""Objects compared without their proportions: stretched along the grid's axes towards one box.

A tall cupboard overlaps a broad one best when one of the two lies on its side. Stretched until both
fill the same box, they differ by what tells which way is up: feet, a plinth, where the doors are.
Stretched half-way there, proportions still count, and less. The frames of canonical forms, whose
faces are parallel to the grid, have the axes for it; a rotation of the cube only permutes these.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

FILLED = 13 / 16  # of the grid's side, by what is stretched all the way
_TAIL = 0.02  # of the mass, at either end of an axis, that does not count for the extent


def stretched(volume: Float[Array, "d d d"], amount: float) -> Float[Array, "d d d"]:
    """Returns a volume stretched about the middle of its extent along each axis, and centred.

    Args:
        volume: occupancy, in any unit.
        amount: 1 for extents that are all the same, 0 for unchanged ones; between the two the
            factor's logarithm is proportional to it.
    """
    side = len(volume)
    voxels = jnp.arange(side)
    masses = jnp.stack([volume.sum(axis=others) for others in ((1, 2), (0, 2), (0, 1))])
    start, end = jax.vmap(_extent)(masses).T[..., None]
    half = jnp.maximum((end - start) / 2, 0.5)  # voxels
    scale = (half / (FILLED * side / 2)) ** amount
    source = (voxels - (side - 1) / 2) * scale + (start + end) / 2
    # Linear interpolation: the weight of every voxel in each sample.
    weights = jnp.maximum(0, 1 - jnp.abs(source[:, :, None] - voxels))
    for axis in range(3):
        samples = jnp.tensordot(weights[axis], volume, (1, axis), precision="highest")
        volume = jnp.moveaxis(samples, 0, axis)
    return volume


def _extent(mass: Float[Array, " d"]) -> Float[Array, "2"]:
    """Returns where along an axis an object's mass begins and ends, but for its tails."""
    below = jnp.pad(jnp.cumsum(mass + 1e-6), (1, 0))  # of nothing, the whole grid
    borders = jnp.arange(len(mass) + 1) - 0.5
    return jnp.interp(jnp.array([_TAIL, 1 - _TAIL]) * below[-1], below, borders)
