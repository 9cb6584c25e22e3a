"""The gradient of a turned volume with respect to the rotation, without a pass over the volume.

The samples are s(p) = R^T p, so with g the gradient of the turned volume
dL/dR_ia = sum_p p_i slope_a(p), slope_a(p) = g(p) . dv/ds_a(s(p)): nine moments of three slopes.
"""

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rotdis.geometry import batching, trilinear

# Elements that a CPU works on at once, of the order of what its caches hold.
_CHUNK = 2**18


@jax.custom_vjp
def rotation_gradient(
    volume: Float[Array, "d d d c"],
    cotangent: Float[Array, "d d d c"],
    rotation: Float[Array, "3 3"],
) -> Float[Array, "3 3"]:
    """Returns the gradient of <cotangent, rotate(volume, R)> with respect to R, in float32."""
    return jax.lax.platform_dependent(volume, cotangent, rotation, cpu=_chunked, default=_plain)


def _forward(*arguments):
    return rotation_gradient(*arguments), arguments


def _backward(arguments, cotangent):
    return jax.vjp(_plain, *arguments)[1](cotangent)


rotation_gradient.defvjp(_forward, _backward)


def _plain(
    volume: Float[Array, "d d d c"],
    cotangent: Float[Array, "d d d c"],
    rotation: Float[Array, "3 3"],
) -> Float[Array, "3 3"]:
    """All at once, and differentiable."""
    samples = trilinear.locate(rotation, volume.shape[0])
    table = trilinear.pad(trilinear.drop_single_channel(volume))
    return _sum_planes(_moments(table, samples, cotangent, functools.partial(jnp.sum, axis=-1)))


@batching.on_batches
def _chunked(
    volumes: Float[Array, "b d d d c"],
    cotangents: Float[Array, "b d d d c"],
    rotations: Float[Array, "b 3 3"],
) -> Float[Array, "b 3 3"]:
    """As many volumes at a time, and of these as many planes, as a CPU's cache holds."""
    batch, size, _, _, channels = volumes.shape
    volumes, cotangents = map(trilinear.drop_single_channel, (volumes, cotangents))
    group = batching.largest_divisor(batch, _CHUNK // (size**3 * channels))
    planes = batching.largest_divisor(
        group * size, min(group * size // 2, _CHUNK // (size**2 * channels))
    )

    def of_group(arrays):
        volumes, cotangents, rotations = arrays
        samples = jax.vmap(lambda rotation: trilinear.locate(rotation, size))(rotations)
        first = jnp.arange(group, dtype=jnp.int32) * (size + 2) ** 3
        samples = samples._replace(row=samples.row + first[:, None, None, None])
        tables = trilinear.pad_batch(volumes)
        table = tables.reshape(-1, *tables.shape[2:])
        # In a loop of its own, or XLA would compute where the points fall once for every slope.
        chunks = jax.tree.map(
            lambda array: array.reshape(-1, planes, size, size, *array.shape[4:]),
            (samples, cotangents),
        )
        moments = jax.lax.map(lambda arrays: _moments(table, *arrays, _sum_by_product), chunks)
        return jax.vmap(_sum_planes)(moments.reshape(group, size, 3, 3))

    groups = jax.tree.map(
        lambda array: array.reshape(-1, group, *array.shape[1:]), (volumes, cotangents, rotations)
    )
    return jax.lax.map(of_group, groups).reshape(batch, 3, 3)


def _sum_by_product(values: Float[Array, "... c"]) -> Float[Array, "..."]:
    """Sums over channels as a product with ones, which a CPU does on all lanes.

    Its sum in float32 would keep its order, one channel after the other.
    """
    channels = values.shape[-1]
    ones = jnp.ones(channels, jnp.promote_types(values.dtype, jnp.float32))
    return jnp.matmul(values.reshape(-1, channels), ones, precision="highest").reshape(
        values.shape[:-1]
    )


def _moments(
    table: Float[Array, "n ..."],
    samples: trilinear.Samples,
    cotangent: Float[Array, "p d d ..."],
    sum_channels: Callable[[Float[Array, "... c"]], Float[Array, "..."]],
) -> Float[Array, "p 3 3"]:
    """Returns, for planes of samples x = const, the sums of each slope times 1, y and z.

    The channels are summed first: what is left of each of a sample's eight neighbours is its
    product with g. A trilinear weight is a product of one factor an axis, (1 - u) or u; its
    derivative along one axis drops that factor and subtracts the lower neighbours from the upper.
    """
    shape, size = samples.row.shape, samples.row.shape[-1]
    corners = list(itertools.product((0, 1), repeat=3))
    rows = samples.row[..., None] + np.dot(corners, trilinear.strides(size)).astype(np.int32)
    cotangent = cotangent.astype(jnp.float32)
    values = trilinear.take(table, rows)
    if table.ndim == 1:
        products = values * cotangent.reshape(shape)[..., None]
    else:
        products = sum_channels(values * cotangent[..., None, :])
    product = {corner: products[..., index] for index, corner in enumerate(corners)}
    slopes = []
    for axis in range(3):
        others = [samples.upper[other] for other in range(3) if other != axis]
        slopes.append(
            sum(
                weights * (product[_insert(rest, axis, 1)] - product[_insert(rest, axis, 0)])
                for rest, weights in trilinear.corner_weights(others)
            )
        )
    return jnp.stack([_plane_moments(slope) for slope in slopes], axis=1)


def _insert(rest: tuple[int, ...], axis: int, step: int) -> tuple[int, ...]:
    return (*rest[:axis], step, *rest[axis:])


def _plane_moments(slope: Float[Array, "n d d"]) -> Float[Array, "n 3"]:
    """Returns, for planes x = const, the sums of a slope times 1, y and z."""
    size = slope.shape[-1]
    points = trilinear.axis_points(size)
    basis = np.stack([np.ones(size**2), np.repeat(points, size), np.tile(points, size)], 1)
    return jnp.matmul(slope.reshape(-1, size**2), basis.astype(np.float32), precision="highest")


def _sum_planes(moments: Float[Array, "d a 3"]) -> Float[Array, "3 a"]:
    """Returns the moments x, y and z of every slope a, from those of the planes."""
    points = trilinear.axis_points(len(moments))
    along_x = jnp.sum(points[:, None] * moments[..., 0], axis=0)
    return jnp.concatenate([along_x[None], jnp.sum(moments[..., 1:], axis=0).T])
