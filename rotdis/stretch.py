"""Training objects of other proportions: each stretched along the axes of its own frame.

A few hundred objects of a kind do not show all proportions that others have. An object whose frame
is known (`rotdis.frames`) has axes along which it can be stretched and stay an object of its kind,
with the same frame; along others its right angles would be lost.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_FULL = 0.1  # occupancy from which a voxel counts for an object's size


def draw(
    x: Float[Array, "d d d"], key: Array, frame: Float[Array, "3 3"], amount: float
) -> Float[Array, "3 3"]:
    """Returns a matrix A: the object, stretched at random, is x(A p).

    So `resample.rotate(x, R A^T)` is the stretched object turned by R, in one interpolation. A is
    symmetric. It keeps the distance of the farthest voxel from the centre, as in normalized
    objects, and is the identity where the frame is not known.

    Args:
        x: the object.
        key: a random key.
        frame: F, x = rotate(c, F) with c the canonical form; zeros where not known.
        amount: the logarithms of the factors along the three axes of c are drawn from
            [-amount, amount].
    """
    size = x.shape[0]
    logarithms = jax.random.uniform(key, (3,), minval=-amount, maxval=amount)
    points = np.indices((size,) * 3).reshape(3, -1).T.astype(np.float32) - (size - 1) / 2
    along = jnp.abs(jnp.matmul(points, frame, precision="highest"))  # in canonical axes
    inside = x.reshape(-1) > _FULL

    def radius(factors):
        return jnp.max(jnp.where(inside, jnp.sum((along * factors) ** 2, axis=1), 0)) ** 0.5

    before, after = radius(jnp.ones(3)), radius(jnp.exp(logarithms))
    shrink = jnp.where(before > 0, after / jnp.maximum(before, 1e-6), 1)
    stretched = jnp.matmul(frame * (shrink * jnp.exp(-logarithms)), frame.T, precision="highest")
    return jnp.where(jnp.any(frame != 0), stretched, jnp.eye(3))
