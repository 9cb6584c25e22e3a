"""The gradient of a turned volume with respect to the rotation, without a pass over the volume.

The samples are s(p) = R^T p, so with g the gradient of the turned volume
dL/dR_ia = sum_p p_i slope_a(p), slope_a(p) = g(p) . dv/ds_a(s(p)): nine moments of three slopes.
"""

import functools

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
    size = volume.shape[0]
    samples = trilinear.locate(rotation, size)
    slopes = [_slope(axis, _differences(axis, volume), samples, cotangent) for axis in range(3)]
    moments = jnp.stack([_plane_moments(slope) for slope in slopes], axis=1)
    return _sum_planes(moments)


@batching.on_batches
def _chunked(
    volumes: Float[Array, "b d d d c"],
    cotangents: Float[Array, "b d d d c"],
    rotations: Float[Array, "b 3 3"],
) -> Float[Array, "b 3 3"]:
    """As many volumes at a time, and of these as many planes, as a CPU's cache holds."""
    batch, size, _, _, channels = volumes.shape
    group = batching.largest_divisor(batch, _CHUNK // (size**3 * channels))
    planes = batching.largest_divisor(
        group * size, min(group * size // 2, _CHUNK // (size**2 * channels))
    )

    def of_group(arrays):
        volumes, cotangents, rotations = arrays
        samples = jax.vmap(lambda rotation: trilinear.locate(rotation, size))(rotations)
        first = jnp.arange(group, dtype=jnp.int32) * (size + 2) ** 3
        samples = samples._replace(row=samples.row + first[:, None, None, None])
        tables = [jax.vmap(functools.partial(_differences, axis))(volumes) for axis in range(3)]
        tables = [table.reshape(-1, *table.shape[2:]) for table in tables]

        def of_planes(arrays):
            samples, cotangents = arrays
            slopes = (_slope(axis, tables[axis], samples, cotangents) for axis in range(3))
            return jnp.stack([_plane_moments(slope) for slope in slopes], axis=1)

        # In a loop of its own, or XLA would compute where the points fall once for every slope.
        chunks = jax.tree.map(
            lambda array: array.reshape(-1, planes, size, size, *array.shape[4:]),
            (samples, cotangents),
        )
        moments = jax.lax.map(of_planes, chunks)
        return jax.vmap(_sum_planes)(moments.reshape(group, size, 3, 3))

    groups = jax.tree.map(
        lambda array: array.reshape(-1, group, *array.shape[1:]), (volumes, cotangents, rotations)
    )
    return jax.lax.map(of_group, groups).reshape(batch, 3, 3)


def _differences(axis: int, volume: Float[Array, "d d d c"]) -> Float[Array, "n ..."]:
    """Returns each voxel's successor along an axis minus the voxel, in the rows of `pad`."""
    table = trilinear.pad(trilinear.drop_single_channel(volume)).astype(jnp.float32)
    stride = trilinear.strides(volume.shape[0])[axis]
    # The last rows have no successor; no sample's lower neighbour is among them.
    return jnp.concatenate([table[stride:], table[:stride]]) - table


def _slope(
    axis: int,
    differences: Float[Array, "n ..."],
    samples: trilinear.Samples,
    cotangent: Float[Array, "... c"],
) -> Float[Array, "..."]:
    """Returns the slope along an axis at every sample: bilinear along the other two.

    A trilinear weight is a product of one factor an axis, (1 - u) or u; its derivative along one
    axis drops that factor and subtracts the lower neighbours from the upper ones.
    """
    size = samples.row.shape[-1]
    others = [other for other in range(3) if other != axis]
    strides = [trilinear.strides(size)[other] for other in others]
    cotangent = trilinear.drop_single_channel(cotangent.astype(jnp.float32))
    total = jnp.zeros((), jnp.float32)
    for offset, weights in trilinear.corner_weights([samples.upper[other] for other in others]):
        total += trilinear.weigh(
            jnp.where(samples.inside[axis], weights, 0),
            trilinear.take(differences, samples.row + int(np.dot(offset, strides))),
        )
    total *= cotangent
    if total.ndim == samples.row.ndim:
        return total
    # As a product with ones it runs on all lanes; a sum of float32 must keep its order.
    channels = total.shape[-1]
    flat = jnp.matmul(total.reshape(-1, channels), jnp.ones(channels), precision="highest")
    return flat.reshape(total.shape[:-1])


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
