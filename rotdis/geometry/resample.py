"""Turns a volume about its centre by trilinear resampling: the operation the model is built on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from rotdis.geometry import adjoint, batching, so3, trilinear
from rotdis.geometry.materialize import materialize
from rotdis.geometry.rotation_gradient import rotation_gradient

# Entries this close to -1, 0 or 1 are meant to be exactly that: float32 sines and cosines of right
# angles, and products of a few such matrices, are off by some 1e-7. At the edge of a 128^3 grid it
# moves a sample by 1e-4 of a voxel.
_SNAP = 1e-6


def rotate(
    volume: Float[Array, "d d d c"],
    rotation: Float[Array, "3 3"],
    method: adjoint.Method | None = None,
) -> Float[Array, "d d d c"]:
    """Returns the volume turned by `rotation`: `rotate(v, R)(p) = v(R^T p)`, zero outside.

    Points p are voxel centres measured from the grid's centre, p = index - (D - 1) / 2, axes
    (x, y, z). The identity and the 24 rotations of the cube are exact. Coordinates and
    interpolation are float32, whatever the dtype of the volume, which is the dtype of the result.

    Differentiable in both arguments, in reverse mode, twice and more; the gradient of an argument
    that nobody asks for is not computed. vmap it over a batch.

    Args:
        volume: features at the D^3 voxel centres.
        rotation: a rotation matrix on (x, y, z).
        method: how the gradient with respect to the volume is summed, see `adjoint.transpose`;
            None takes the best for the backend.

    Raises:
        ValueError: the grid is not cubic or not of floats, the matrix is not 3x3, or there is no
            such method.
    """
    if not jnp.issubdtype(volume.dtype, jnp.floating):
        raise ValueError(
            f"rotate interpolates, so it takes a volume of floats, not {volume.dtype}: convert it"
        )
    if volume.ndim != 4 or len(set(volume.shape[:3])) != 1 or rotation.shape != (3, 3):
        raise ValueError(
            "rotate takes one volume (D, D, D, C) and one rotation (3, 3), "
            f"not {volume.shape} and {rotation.shape}: vmap it over a batch"
        )
    if method is not None and method not in adjoint.METHODS:
        raise ValueError(f"method is {method!r}, but must be one of {', '.join(adjoint.METHODS)}")
    return _rotate(method, volume, _snap(rotation.astype(jnp.float32)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rotate(
    method: adjoint.Method | None, volume: Float[Array, "d d d c"], rotation: Float[Array, "3 3"]
) -> Float[Array, "d d d c"]:
    del method  # of the backward pass
    return _interpolate(volume, rotation)


@batching.on_batches
def _interpolate(
    volumes: Float[Array, "b d d d c"], rotations: Float[Array, "b 3 3"]
) -> Float[Array, "b d d d c"]:
    corners = _padded_corners if volumes.shape[4] == 1 else _unpadded_corners
    total = sum(
        trilinear.weigh(weights, jax.vmap(trilinear.read)(tables, row))
        for weights, tables, row in corners(volumes, rotations)
    )
    return materialize(total.reshape(volumes.shape).astype(volumes.dtype), rotations)


def _padded_corners(volumes: Float[Array, "b d d d 1"], rotations: Float[Array, "b 3 3"]):
    """Yields the weights, the tables and the rows of the eight neighbours of every sample.

    Each row is read once only: a shell of zeros makes it the cheapest to find.
    """
    size = volumes.shape[1]
    samples = jax.vmap(functools.partial(trilinear.locate, size=size))(rotations)
    tables = trilinear.pad_batch(volumes[..., 0])
    for offset, weights in trilinear.corner_weights(samples.upper):
        yield weights, tables, samples.row + int(np.dot(offset, trilinear.strides(size)))


def _unpadded_corners(volumes: Float[Array, "b d d d c"], rotations: Float[Array, "b 3 3"]):
    """As `_padded_corners`, for many channels: padding a copy of them takes longer than weighing.

    Materialized, since otherwise every channel would locate the samples anew.
    """
    batch, size, _, _, channels = volumes.shape
    locate = functools.partial(trilinear.locate_neighbours, size=size)
    neighbours = materialize(jax.vmap(locate)(rotations), rotations)
    tables = volumes.reshape(batch, size**3, channels)
    for offset, weights in trilinear.corner_products(neighbours.weights):
        row = neighbours.row + int(np.dot(offset, (size**2, size, 1)))
        # Where it is clipped its weight is zero.
        yield weights, tables, jnp.clip(row, 0, size**3 - 1)


def _rotate_forward(method, volume, rotation):
    turned = _rotate(method, volume.value, rotation.value)
    # What has no gradient is not kept, and tells the backward pass what to leave out.
    kept = volume.value if rotation.perturbed else None
    wanted = jnp.zeros((0,), volume.value.dtype) if volume.perturbed else None
    return turned, (kept, wanted, rotation.value)


def _rotate_backward(method, residuals, cotangent):
    volume, wanted, rotation = residuals
    if isinstance(cotangent, SymbolicZero):
        return None, None
    return (
        None if wanted is None else _transpose(method, cotangent, rotation).astype(wanted.dtype),
        None if volume is None else rotation_gradient(volume, cotangent, rotation),
    )


_rotate.defvjp(_rotate_forward, _rotate_backward, symbolic_zeros=True)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _transpose(
    method: adjoint.Method | None, cotangent: Float[Array, "d d d c"], rotation: Float[Array, "3 3"]
) -> Float[Array, "d d d c"]:
    """The gradient with respect to the volume; its own derivatives are rotations again."""
    return adjoint.transpose(cotangent, rotation, method)


def _transpose_forward(method, cotangent, rotation):
    return _transpose(method, cotangent, rotation), (cotangent, rotation)


def _transpose_backward(method, residuals, volume):
    # <rotate^T(g), v> = <g, rotate(v)>: linear in g, and the same function of R as before.
    cotangent, rotation = residuals
    return (
        _rotate(method, volume, rotation).astype(cotangent.dtype),
        rotation_gradient(volume, cotangent, rotation),
    )


_transpose.defvjp(_transpose_forward, _transpose_backward)


def _snap(rotation: Float[Array, "3 3"]) -> Float[Array, "3 3"]:
    """Rounds entries within `_SNAP` of -1, 0 or 1 to them; the gradient is the identity's."""
    nearest = jnp.round(rotation)
    snapped = jnp.where(jnp.abs(rotation - nearest) < _SNAP, nearest, rotation)
    return rotation + jax.lax.stop_gradient(snapped - rotation)


def cube_copies(volume: Float[Array, "b d d d"]) -> Float[Array, "b 24 d d d"]:
    """Returns each volume turned by the inverse of every rotation of `so3.cube_group`, exactly."""
    batch, size = volume.shape[:2]
    copies = jnp.take(volume.reshape(batch, -1), cube_permutations(size), axis=1)
    return copies.reshape(batch, 24, size, size, size)


@functools.cache
def cube_permutations(size: int) -> np.ndarray:
    """Returns, for each g of the group, the source index of every voxel of rotate(v, g^-1)."""
    points = np.stack(np.meshgrid(*(np.arange(size),) * 3, indexing="ij"), -1).reshape(-1, 3)
    doubled = 2 * points - (size - 1)  # twice the centred coordinates: integers for any size
    sources = doubled @ so3.cube_group().transpose(0, 2, 1).astype(int)  # rows: (g p)^T = p^T g^T
    sources = (sources + (size - 1)) // 2
    return np.ravel_multi_index(np.moveaxis(sources, -1, 0), (size,) * 3).astype(np.int32)
