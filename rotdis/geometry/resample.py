"""Turns a volume about its centre by trilinear resampling: the operation the model is built on."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rotdis.geometry import so3

# Entries this close to -1, 0 or 1 are meant to be exactly that: float32 sines and cosines of right
# angles, and products of a few such matrices, are off by some 1e-7. At the edge of a 128^3 grid it
# moves a sample by 1e-4 of a voxel.
_SNAP = 1e-6


def rotate(
    volume: Float[Array, "d d d c"], rotation: Float[Array, "3 3"]
) -> Float[Array, "d d d c"]:
    """Returns the volume turned by `rotation`: `rotate(v, R)(p) = v(R^T p)`, zero outside.

    Points p are voxel centres measured from the grid's centre, p = index - (D - 1) / 2, axes
    (x, y, z). The identity and the 24 rotations of the cube are exact. Differentiable in both
    arguments; vmap it over a batch. Coordinates and interpolation are float32, whatever the dtype
    of the volume, which is the dtype of the result.

    Args:
        volume: features at the D^3 voxel centres.
        rotation: a rotation matrix on (x, y, z).

    Raises:
        ValueError: the grid is not cubic, or the matrix is not 3x3.
    """
    if volume.ndim != 4 or len(set(volume.shape[:3])) != 1 or rotation.shape != (3, 3):
        raise ValueError(
            "rotate takes one volume (D, D, D, C) and one rotation (3, 3), "
            f"not {volume.shape} and {rotation.shape}: vmap it over a batch"
        )
    return _rotate(volume, _snap(rotation.astype(jnp.float32)))


@jax.custom_vjp
def _rotate(
    volume: Float[Array, "d d d c"], rotation: Float[Array, "3 3"]
) -> Float[Array, "d d d c"]:
    size, channels = volume.shape[0], volume.shape[3]
    corners, upper, _ = _corners(rotation, size)
    weights = (1 - upper, upper)
    flat = _pad(volume)
    result = jnp.zeros((size**3, channels), jnp.float32)
    for (i, j, k), index in corners:
        weight = weights[i][0] * weights[j][1] * weights[k][2]
        result = result + weight[:, None] * _read(flat, index)
    return result.reshape(volume.shape).astype(volume.dtype)


def _rotate_forward(volume, rotation):
    return _rotate(volume, rotation), (volume, rotation)


def _rotate_backward(residuals, cotangent):
    """Gradients of both arguments; under jit XLA drops the volume's where nobody asks for it.

    A weight is a product of one factor an axis, (1 - u_a) or u_a, so its derivative along axis a
    drops that factor and takes the sign of u_a; the samples are linear in R, s_a = sum_i R_ia p_i.
    """
    volume, rotation = residuals
    size = volume.shape[0]
    corners, upper, inside = _corners(rotation, size)
    weights = (1 - upper, upper)
    flat = _pad(volume)
    cotangent = cotangent.astype(jnp.float32).reshape(size**3, -1)
    slopes = [jnp.zeros(size**3, jnp.float32)] * 3
    for (i, j, k), index in corners:
        agreement = jnp.sum(_read(flat, index) * cotangent, axis=1)
        factors = weights[i][0], weights[j][1], weights[k][2]
        slopes[0] += (2 * i - 1) * factors[1] * factors[2] * agreement
        slopes[1] += (2 * j - 1) * factors[0] * factors[2] * agreement
        slopes[2] += (2 * k - 1) * factors[0] * factors[1] * agreement
    rotation_gradient = jnp.matmul(
        _centred_points(size), (jnp.stack(slopes) * inside).T, precision="highest"
    )
    # Trilinear resampling is linear in the volume: its transpose scatters with the same weights.
    volume_gradient = jnp.zeros(flat.shape, jnp.float32)
    for (i, j, k), index in corners:
        weight = weights[i][0] * weights[j][1] * weights[k][2]
        volume_gradient = volume_gradient.at[index].add(
            weight[:, None] * cotangent, mode="promise_in_bounds"
        )
    volume_gradient = volume_gradient.reshape(*(size + 2,) * 3, -1)[1:-1, 1:-1, 1:-1]
    return volume_gradient.astype(volume.dtype), rotation_gradient


_rotate.defvjp(_rotate_forward, _rotate_backward)


def _corners(rotation: Float[Array, "3 3"], size: int):
    """Returns the eight neighbours of every sample and the samples' place between them.

    A shell of zeros around the volume (`_pad`) stands for everything outside it: a sample beyond
    the shell is drawn onto it, so no corner needs a mask.

    Returns:
        A list of ((i, j, k), index): offsets of a corner and, per voxel, its row in `_pad(volume)`;
        the weight (3, D^3) of the upper neighbour along each axis; and whether the sample lies
        within the shell there (3, D^3), so that it moves with the rotation.
    """
    # Full precision is asked for: by default a GPU multiplies in TF32, a TPU in bfloat16.
    samples = jnp.matmul(rotation.T, _centred_points(size), precision="highest") + (size - 1) / 2
    inside = (samples > -1) & (samples < size)
    samples = jnp.clip(samples, -1, size)
    lower = jnp.minimum(jnp.floor(samples), size - 1)
    padded_size = size + 2
    x, y, z = lower.astype(jnp.int32) + 1
    origin = (x * padded_size + y) * padded_size + z
    corners = [
        ((i, j, k), origin + (i * padded_size + j) * padded_size + k)
        for i, j, k in itertools.product((0, 1), repeat=3)
    ]
    return corners, samples - lower, inside


def _pad(volume: Float[Array, "d d d c"]) -> Float[Array, "n c"]:
    shell = ((1, 1), (1, 1), (1, 1), (0, 0))
    return jnp.pad(volume, shell).reshape(-1, volume.shape[3])


def _read(flat: Float[Array, "n c"], index: Int[Array, " m"]) -> Float[Array, "m c"]:
    return flat.at[index].get(mode="promise_in_bounds").astype(jnp.float32)


def _centred_points(size: int) -> Float[np.ndarray, "3 n"]:
    """Returns every voxel centre, measured from the grid's centre."""
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij")).reshape(3, -1)


def _snap(rotation: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
    """Rounds entries within `_SNAP` of -1, 0 or 1 to them; the gradient is the identity's."""
    nearest = jnp.round(rotation)
    snapped = jnp.where(jnp.abs(rotation - nearest) < _SNAP, nearest, rotation)
    return rotation + jax.lax.stop_gradient(snapped - rotation)


def cube_copies(volume: Float[Array, "b d d d"]) -> Float[Array, "b 24 d d d"]:
    """Returns each volume turned by the inverse of every rotation of `so3.cube_group`, exactly."""
    batch, size = volume.shape[:2]
    copies = jnp.take(volume.reshape(batch, -1), _cube_permutations(size), axis=1)
    return copies.reshape(batch, 24, size, size, size)


@functools.cache
def _cube_permutations(size: int) -> np.ndarray:
    """Returns, for each g of the group, the source index of every voxel of rotate(v, g^-1)."""
    points = np.stack(np.meshgrid(*(np.arange(size),) * 3, indexing="ij"), -1).reshape(-1, 3)
    doubled = 2 * points - (size - 1)  # twice the centred coordinates: integers for any size
    sources = doubled @ so3.cube_group().transpose(0, 2, 1).astype(int)  # rows: (g p)^T = p^T g^T
    sources = (sources + (size - 1)) // 2
    return np.ravel_multi_index(np.moveaxis(sources, -1, 0), (size,) * 3).astype(np.int32)
