"""Which rotations an object itself hardly tells apart: part of evaluate, found from its voxels.

Classes are declared symmetric as a whole (`rotdis.metrics.symmetry`); real objects are symmetric
one by one, and almost. This finds each object's near-symmetries, so that a pose error can be taken
to the nearest of them: the smallest rotation beyond which its canonical forms differ. BOP's sets of
symmetries (Hodan et al., ECCV workshops 2020) are found likewise, by a distance of surfaces.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.spatial.transform import Rotation

from rotdis.geometry import resample, so3
from rotdis.metrics.reconstruction import THRESHOLD

# An object is taken to look the same where it and its turned copy overlap by this IoU. Turning an
# object to and fro, which is what comparing two canonical forms at best amounts to, leaves an IoU
# of 0.81 to 0.99 (medians of ModelNet10's and the furniture's training classes at 32^3), a slip of
# 5 degrees one of 0.62 to 0.92, and one of 15 degrees 0.26 to 0.80: a difference that counts as
# none here is one that a slip of about 5 degrees makes as well.
SAME = 0.8


@functools.cache
def candidates() -> Float[np.ndarray, "84 3 3"]:
    """Returns the rotations that are tried, the identity first.

    The cube's 24, and turns about the three axes in steps of 15 degrees.
    """
    tried = list(so3.cube_group())
    for axis in np.eye(3):
        for degrees in range(15, 360, 15):
            if degrees % 90:
                tried.append(Rotation.from_rotvec(axis * degrees, degrees=True).as_matrix())
    tried = np.stack(tried).astype(np.float32)
    tried.setflags(write=False)
    return tried


@jax.jit
def overlaps(
    voxels: Float[Array, "b d d d"], rotations: Float[Array, "s 3 3"]
) -> Float[Array, "b s"]:
    """Returns the IoU of each object with its copy turned by each rotation; 1 where it is empty."""
    occupied = voxels > THRESHOLD

    def overlap(rotation: Float[Array, "3 3"]) -> Float[Array, " b"]:
        turned = jax.vmap(resample.rotate, in_axes=(0, None))(voxels[..., None], rotation)
        turned = turned[..., 0] > THRESHOLD
        union = jnp.sum(occupied | turned, axis=(1, 2, 3))
        return jnp.where(
            union > 0, jnp.sum(occupied & turned, axis=(1, 2, 3)) / jnp.maximum(union, 1), 1.0
        )

    # One rotation at a time: all of them at once would hold 84 copies of a batch.
    return jax.lax.map(overlap, rotations).T


def near_symmetries(voxels: Float[Array, "b d d d"]) -> Bool[np.ndarray, "b 84"]:
    """Returns which of `candidates` each object hardly tells from the identity."""
    holds = np.asarray(overlaps(voxels, candidates())) >= SAME
    holds[:, 0] = True
    return holds
