"""Small rotations that bring every object closer to its neighbours, and its faces to the axes.

Neighbours alone would tilt a deep seat until it lies best over a shallow one; what makes the two
stand alike is that their faces are parallel to the same planes, as the model's training wants it of
canonical forms (`losses.tilt`). Shapes without flat faces go by their neighbours.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from scipy import sparse

from rotdis import losses
from rotdis.geometry import resample, so3
from rotdis.synchronize import fields as fields_
from rotdis.synchronize.fields import padded

# Degrees. The first reach half-way to the next rotation of the cube, so that no object is left
# between two of them.
STEPS = (40.0, 20.0, 10.0, 5.0, 5.0, 2.5, 2.5, 1.25)
_CHUNK = 32  # objects at a time
# Of the last refinement, on finer grids.
FINE_STEPS = (6.0, 3.0, 3.0, 1.5, 1.5, 0.75)
# What a tilt of one counts, against a likeness of one. Of 0, 0.1, 0.3, 1, 2 and 4 it was the best,
# or as good, on generated furniture.
_STRAIGHT = 1.0


def refine(
    fields: UInt8[np.ndarray, "n d d d"],
    solids: UInt8[np.ndarray, "n d d d"],
    rotations: Float[np.ndarray, "n 3 3"],
    weights: sparse.csr_array,
    steps: tuple[float, ...] = STEPS,
) -> Float[np.ndarray, "n 3 3"]:
    """Turns every object to where it is most like the mean of its neighbours.

    Coordinate descent: in each step an object tries a turn of so many degrees about each axis, to
    either side, and keeps the best; then the means are taken anew. Likeness is the cosine of the
    two fields, since interpolation lowers the norm of whatever is turned; less the tilt.

    Args:
        fields: `fields.distance_fields` of the objects, before any turn.
        solids: `fields.solids` of the objects, before any turn.
        rotations: where each stands now.
        weights: of object j in the mean that object i is compared with; (N, N).
        steps: degrees.
    """
    rotations = np.asarray(rotations, np.float32)
    for step in steps:
        flat = fields_.turned(fields, rotations).reshape(len(fields), -1)
        after = []
        for start in range(0, len(fields), _CHUNK):
            block = slice(start, start + _CHUNK)
            chosen = weights[block]
            used = np.unique(chosen.indices)
            means = chosen[:, used] @ flat[used].astype(np.float32)
            count = len(means)
            arrays = fields[block], solids[block], rotations[block], means.astype(np.float32)
            arrays = padded(_CHUNK, *arrays)
            after.append(np.asarray(_step(*arrays, np.radians(step)))[:count])
        rotations = np.concatenate(after)
    return rotations


@jax.jit
def _step(
    fields: UInt8[Array, "b d d d"],
    solids: UInt8[Array, "b d d d"],
    rotations: Float[Array, "b 3 3"],
    means: Float[Array, "b v"],
    step: float,
) -> Float[Array, "b 3 3"]:
    # Two channels: what is like the neighbours, and what has faces.
    volumes = jnp.stack([fields, solids], axis=-1).astype(jnp.float32) / 255
    vectors = jnp.concatenate([jnp.zeros((1, 3)), jnp.eye(3), -jnp.eye(3)]) * step
    turns = so3.from_rotation_vector(vectors)

    def likeness(turn: Float[Array, "3 3"]) -> Float[Array, " b"]:
        turned = jax.vmap(resample.rotate)(
            volumes, jnp.matmul(turn, rotations, precision="highest")
        )
        field, solid = turned[..., 0].reshape(len(fields), -1), turned[..., 1]
        like = jnp.sum(field * means, axis=1) / jnp.linalg.norm(field, axis=1)
        like /= jnp.maximum(jnp.linalg.norm(means, axis=1), 1e-9)
        return like - _STRAIGHT * jax.vmap(losses.tilt)(solid)

    best = jnp.argmax(jax.lax.map(likeness, turns), axis=0)  # the first of equals: no turn
    return jnp.matmul(turns[best], rotations, precision="highest")
