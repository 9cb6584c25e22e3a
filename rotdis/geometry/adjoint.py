"""The adjoint of rotating a volume, in three exact forms, and which one a backend takes.

Turning a volume is linear in it, and the gradient with respect to the volume is the transpose of
that map: every voxel v receives the gradients of the samples within a voxel of it, with the weights
with which they read it. All three forms compute that sum; they differ in the order of the work.
"""

import itertools
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rotdis.geometry import batching, trilinear

Method = Literal["scatter", "gather", "matrix"]
METHODS: tuple[Method, ...] = get_args(Method)

_SCATTER_CHUNK = 2**15  # elements, what a core's first caches hold

# The side up to which the matrix form's D^6 C products are worth it where matrix units are strong
# and gathers are slow.
_MATRIX_SIZE = 16


def transpose(
    cotangent: Float[Array, "d d d c"], rotation: Float[Array, "3 3"], method: Method | None
) -> Float[Array, "d d d c"]:
    """Returns the adjoint of `rotate(., rotation)` applied to `cotangent`, in float32.

    Args:
        cotangent: the gradient with respect to the turned volume.
        rotation: of the forward pass.
        method: "scatter", "gather" or "matrix"; None takes what is best where the program runs:
            "scatter" on a CPU, by measurement; "gather" on a GPU, where a scatter's atomic
            additions are not deterministic (one measurement of the three: docs/speed.md); on a
            TPU, by reasoning alone, "matrix" up to 16^3 and "gather" beyond. What is taken is
            deterministic there.
    """
    forms = {"scatter": _scatter, "gather": _gather, "matrix": _matrix}
    if method is not None:
        return forms[method](cotangent, rotation)
    tpu = _matrix if cotangent.shape[0] <= _MATRIX_SIZE else _gather
    return jax.lax.platform_dependent(cotangent, rotation, cpu=_scatter, tpu=tpu, default=_gather)


@batching.on_batches
def _scatter(
    cotangents: Float[Array, "b d d d c"], rotations: Float[Array, "b 3 3"]
) -> Float[Array, "b d d d c"]:
    """Adds every sample's gradient to the eight voxels that it was read from.

    One volume after the other, some planes of samples at a time: the volume that is added to, and
    what is added, stay in a CPU's cache, which makes it 2 to 5 times faster than all at once.
    """
    return jax.lax.map(lambda example: _scatter_one(*example), (cotangents, rotations))


def _scatter_one(
    cotangent: Float[Array, "d d d c"], rotation: Float[Array, "3 3"]
) -> Float[Array, "d d d c"]:
    size = cotangent.shape[0]
    samples = trilinear.locate(rotation, size)
    gradient = trilinear.drop_single_channel(cotangent.astype(jnp.float32))
    channels = gradient.shape[3:]
    planes = batching.largest_divisor(size, min(size // 2, _SCATTER_CHUNK // cotangent[0].size))

    def add_planes(total, of_planes):
        gradient, row, upper = of_planes
        for offset, weights in trilinear.corner_weights(upper):
            total = total.at[row.reshape(-1) + int(np.dot(offset, trilinear.strides(size)))].add(
                trilinear.weigh(weights, gradient).reshape(-1, *channels),
                mode="promise_in_bounds",
                wrap_negative_indices=False,
            )
        return total, None

    chunks = jax.tree.map(
        lambda array: array.reshape(-1, planes, *array.shape[1:]),
        (gradient, samples.row, samples.upper),
    )
    total = batching.zeros_varying_as(chunks[0], ((size + 2) ** 3, *channels))
    total, _ = jax.lax.scan(add_planes, total, chunks)
    return total.reshape(*(size + 2,) * 3, -1)[1:-1, 1:-1, 1:-1]


def _gather(
    cotangent: Float[Array, "d d d c"], rotation: Float[Array, "3 3"]
) -> Float[Array, "d d d c"]:
    """Reads, for every voxel, the gradients of the samples that may have read it.

    The samples within a voxel of v along every axis are those of the target points in the cube of
    side 2 about v, turned, about R v. Its extent along any axis is at most 2 sqrt(3): four grid
    points. Along the axis whose row of R holds R's largest entry, at least 2/3 for any rotation, a
    line through the cube is at most 2 / (2/3) = 3 long: three points. So there are 4 x 4 x 3
    candidates, of which 8 count on average; the others have weight zero.
    """
    size = cotangent.shape[0]
    gradient = trilinear.drop_single_channel(cotangent.astype(jnp.float32))
    flat = gradient.reshape(size**3, *gradient.shape[3:])
    points = trilinear.axis_points(size)
    # The target's axes in the order in which they are walked: the one of the short lines last.
    largest = jnp.argmax(jnp.abs(rotation))
    order = (largest // 3 + jnp.array([1, 2, 3])) % 3
    strides = size ** (2 - order)
    rotation = rotation[order]
    middle = [trilinear.dot(row, points) + (size - 1) / 2 for row in rotation]  # the index of R v
    reach = jnp.sum(jnp.abs(rotation), axis=1)
    steepest = rotation[:, largest % 3]
    # A candidate missed by rounding lies on the cube's surface, where its weight is zero.
    first = [jnp.ceil(middle[axis] - reach[axis]) for axis in range(2)]
    total = jnp.zeros(gradient.shape, jnp.float32)
    for i, j in itertools.product(range(4), repeat=2):
        x, y = first[0] + i, first[1] + j
        # On this line the cube lies where |across + steepest_2 (z - middle)| < 1, at most.
        across = (x - middle[0]) * steepest[0] + (y - middle[1]) * steepest[1]
        z = jnp.ceil(middle[2] - across / steepest[2] - 1 / jnp.abs(steepest[2]))
        for k in range(3):
            total += _candidate(flat, [x, y, z + k], strides, rotation)
    return total.reshape(cotangent.shape)


@jax.jit  # traced once for all candidates
def _candidate(
    flat: Float[Array, "n ..."],
    place: list[Float[Array, "d d d"]],
    strides: Int[Array, " 3"],
    rotation: Float[Array, "3 3"],
) -> Float[Array, "d d d ..."]:
    """Returns one gradient of `flat` for every voxel, times the weight with which it counts there.

    `place` is its index along each of the target's axes, outside the grid too; the strides in
    `flat` and the rows of the rotation are in the order of these axes.
    """
    size = place[0].shape[0]
    points = trilinear.axis_points(size)
    inside = [(index >= 0) & (index < size) for index in place]
    weight = (inside[0] & inside[1] & inside[2]).astype(jnp.float32)
    parts = trilinear.split(rotation)
    for axis, source in enumerate((points[:, None, None], points[:, None], points)):
        coarse, fine = (
            sum(part[i, axis] * (place[i] - (size - 1) / 2) for i in range(3)) for part in parts
        )
        weight *= jnp.maximum(0, 1 - jnp.abs((coarse - source) + fine))
    index = sum(
        jnp.clip(index, 0, size - 1).astype(jnp.int32) * stride
        for index, stride in zip(place, strides, strict=True)
    )
    return trilinear.weigh(weight, trilinear.read(flat, index))


def _matrix(
    cotangent: Float[Array, "d d d c"], rotation: Float[Array, "3 3"]
) -> Float[Array, "d d d c"]:
    """Multiplies by the resampling matrix, factored: weights along x and y against those along z.

    The weight of voxel (x, y, z) in sample p is h(s_x - x) h(s_y - y) h(s_z - z) with the hat
    h(t) = max(0, 1 - |t|): D^3 x D^2 products of the first two, times D^3 x D C of the gradients
    spread along z, is one dense matrix product of 2 D^6 C operations.
    """
    size, channels = cotangent.shape[0], cotangent.shape[3]
    samples = trilinear.locate(rotation, size)
    voxels = jnp.arange(size)
    hats = []
    for stride, upper in zip(trilinear.strides(size), samples.upper, strict=True):
        lower = (samples.row // stride % (size + 2) - 1).reshape(-1, 1)
        upper = upper.reshape(-1, 1)
        hats.append(jnp.where(voxels == lower, 1 - upper, jnp.where(voxels == lower + 1, upper, 0)))
    x, y, z = hats
    plane = (x[:, :, None] * y[:, None, :]).reshape(size**3, size**2)
    lines = z[:, :, None] * cotangent.astype(jnp.float32).reshape(size**3, 1, channels)
    product = jnp.matmul(plane.T, lines.reshape(size**3, -1), precision="highest")
    return product.reshape(cotangent.shape)
