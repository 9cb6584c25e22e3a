"""The rotation group SO(3): representations, uniform sampling, distances, the cube's subgroup.

A rotation is a (..., 3, 3) matrix of determinant +1 that acts on columns (x, y, z). Every function
takes any leading batch axes, is differentiable, and is free of NaN at the identity.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_SMALLEST_SUM = 1e-2  # of two singular values: bounds the derivative of `from_matrix`
_NO_VECTOR = 1e-4  # a vector shorter than this has no direction: bounds the derivative of `from_6d`
_PARALLEL = 1e-2  # the sine of the angle below which two vectors span no plane: likewise
_TINY = 1e-12  # keeps square roots differentiable at zero, far below float32's resolution of 1


@functools.cache
def cube_group() -> Float[np.ndarray, "24 3 3"]:
    """Returns the 24 rotations of the cube, exact in float32, the identity first."""
    group = []
    for axes in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3), np.float32)
            matrix[range(3), axes] = signs
            if np.linalg.det(matrix) > 0:
                group.append(matrix)
    group = np.stack(group)
    group.setflags(write=False)
    return group


def require_rotations(matrices: Float[np.ndarray, "*n 3 3"]) -> None:
    """Makes sure that matrices are rotations, to a hundredth in every product of two columns.

    Raises:
        ValueError: some are not.
    """
    matrices = np.asarray(matrices, np.float64)
    products = np.swapaxes(matrices, -1, -2) @ matrices
    orthogonal = (np.abs(products - np.eye(3)) < 0.01).all(axis=(-2, -1))
    determinant = np.linalg.det(np.where(orthogonal[..., None, None], matrices, 0))
    good = orthogonal & (determinant > 0)
    if not good.all():
        raise ValueError(
            "rotations are orthogonal matrices of determinant 1: "
            f"{int((~good).sum())} of {good.size} are not"
        )


def from_quaternion(quaternion: Float[Array, "... 4"]) -> Float[Array, "... 3 3"]:
    """Returns the rotation of a quaternion (w, x, y, z), of a length from 1e-3 to 1e18."""
    quaternion = quaternion / jnp.sqrt(jnp.sum(quaternion**2, -1, keepdims=True) + _TINY)
    w, x, y, z = jnp.moveaxis(quaternion, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def from_rotation_vector(vector: Float[Array, "... 3"]) -> Float[Array, "... 3 3"]:
    """Returns the rotation by |vector| radians about the vector (the exponential map)."""
    square = jnp.sum(vector**2, -1, keepdims=True)
    half = 0.5 * jnp.sqrt(square + _TINY)
    # sin(half) / (2 half) has the limit 1/2 at zero, where the guarded square root keeps it finite.
    return from_quaternion(
        jnp.concatenate([jnp.cos(half), 0.5 * vector * jnp.sin(half) / half], -1)
    )


def from_6d(columns: Float[Array, "... 6"]) -> Float[Array, "... 3 3"]:
    """Returns the rotation whose first two columns are the two given vectors, orthonormalized.

    Gram-Schmidt, the continuous representation of Zhou et al., "On the Continuity of Rotation
    Representations in Neural Networks", CVPR 2019. Where a vector is zero or the two are parallel,
    others stand in for what is missing: the result is a rotation everywhere, of finite derivative.
    """
    first = _direction(columns[..., :3], jnp.eye(3)[0])
    second = _direction(columns[..., 3:], first)
    rest = second - jnp.sum(first * second, -1, keepdims=True) * first
    parallel = jnp.sum(rest**2, -1, keepdims=True) < _PARALLEL**2
    # The axis that is least along the first vector, made perpendicular to it.
    axis = jnp.eye(3)[jnp.argmin(jnp.abs(first), -1)]
    axis -= jnp.sum(first * axis, -1, keepdims=True) * first
    second = _direction(jnp.where(parallel, axis, rest), axis)
    return jnp.stack([first, second, jnp.cross(first, second)], -1)


@jax.custom_jvp
def from_matrix(matrix: Float[Array, "... 3 3"]) -> Float[Array, "... 3 3"]:
    """Returns the rotation nearest to a matrix (Frobenius), by its singular value decomposition.

    Levinson et al., "An Analysis of SVD for Deep Rotation Estimation", NeurIPS 2020. The derivative
    has the sums of two singular values as denominators; they are kept away from zero, where the
    nearest rotation is not unique, so it is finite everywhere.
    """
    return _nearest_rotation(matrix)[0]


def _nearest_rotation(matrix):
    """Returns the rotation, and U, V^T and signed singular values with matrix = U diag(s) V^T."""
    left, values, right = jnp.linalg.svd(matrix, full_matrices=False)
    sign = jnp.linalg.det(left) * jnp.linalg.det(right)
    signs = jnp.stack([jnp.ones_like(sign), jnp.ones_like(sign), jnp.sign(sign)], -1)
    left = left * signs[..., None, :]
    return jnp.matmul(left, right, precision="highest"), left, right, values * signs


@from_matrix.defjvp
def _from_matrix_jvp(primals, tangents):
    rotation, left, right, values = _nearest_rotation(*primals)
    product = functools.partial(jnp.matmul, precision="highest")
    inner = product(product(jnp.swapaxes(left, -1, -2), tangents[0]), jnp.swapaxes(right, -1, -2))
    sums = values[..., :, None] + values[..., None, :]
    sums = jnp.where(jnp.abs(sums) < _SMALLEST_SUM, _SMALLEST_SUM, sums)
    turning = (inner - jnp.swapaxes(inner, -1, -2)) / sums
    return rotation, product(product(left, turning), right)


def _direction(
    vector: Float[Array, "... 3"], instead: Float[Array, "... 3"]
) -> Float[Array, "... 3"]:
    """Returns a vector, shorter than 1e37, divided by its length; `instead` of one without."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(vector), -1, keepdims=True))
    missing = largest < _NO_VECTOR
    # Scaled first: the squares of very long ones would overflow.
    vector = jnp.where(missing, instead, vector / jnp.where(missing, 1, largest))
    return vector / jnp.sqrt(jnp.sum(vector**2, -1, keepdims=True))


def random_uniform(key: Array, shape: tuple[int, ...] = ()) -> Float[Array, "... 3 3"]:
    """Draws rotations of the given batch shape from the uniform (Haar) distribution.

    A normalized Gaussian 4-vector is uniform on the sphere of unit quaternions (Shoemake, 1992).
    """
    return from_quaternion(jax.random.normal(key, (*shape, 4)))


def random_cube(key: Array, shape: tuple[int, ...] = ()) -> Float[Array, "... 3 3"]:
    """Draws rotations of the given batch shape uniformly from the cube's 24."""
    return jnp.asarray(cube_group())[jax.random.randint(key, shape, 0, 24)]


def geodesic_distance(
    a: Float[Array, "... 3 3"], b: Float[Array, "... 3 3"]
) -> Float[Array, "..."]:
    """Returns the angle in radians, in [0, pi], of the rotation between `a` and `b`.

    From sine and cosine together, so it is accurate near 0 and near pi, where an arccosine of the
    trace alone loses half of its digits.
    """
    relative = jnp.einsum("...ji,...jk->...ik", a, b, precision="highest")
    cosine = 0.5 * (jnp.trace(relative, axis1=-2, axis2=-1) - 1)
    axis = jnp.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        -1,
    )
    sine = 0.5 * jnp.sqrt(jnp.sum(axis**2, -1) + _TINY)
    return jnp.arctan2(sine, cosine)
