"""Where the samples of a turned grid fall in the grid that they read, and with what weights.

The forward pass of `resample.rotate`, its adjoint and its gradient all start from this.
"""

import functools
import itertools
import operator
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rotdis.geometry import batching

# A rotation's entries, cut to multiples of this, times coordinates up to 1024 voxels from the
# centre, are exact in float32, and so are their sums.
_CUT = 2.0**-12


class Samples(NamedTuple):
    """The D^3 points R^T p at which a grid of D^3 voxels is read.

    A shell of zeros around the grid stands for everything outside it.

    Attributes:
        row: where the next voxel below along every axis lies in `pad(volume)`; for a sample beyond
            the shell, a row of it whose eight neighbours are all zeros.
        upper: per axis (x, y, z), the weight in [0, 1] of the next voxel above; the lower one's is
            1 - upper.
    """

    row: Int[Array, "d d d"]
    upper: list[Float[Array, "d d d"]]


def locate(rotation: Float[Array, "3 3"], size: int) -> Samples:
    """Returns where a grid of `size`^3 voxels is read when it is turned by `rotation`.

    The weights are within 2e-7 of exact, however large the grid: a coordinate of some tens of
    voxels in float32 would be off by some 1e-6, so what is small is summed apart.
    """
    row = jnp.zeros((), jnp.int32)
    inside = jnp.ones((), bool)
    upper = []
    for lower, above in _coordinates(rotation, size):
        row = row * (size + 2) + (lower.astype(jnp.int32) + 1)
        inside &= (lower >= -1) & (lower < size)
        upper.append(above)
    # The first line's end: the next voxel along z is the next line's beginning.
    return Samples(jnp.where(inside, row, size + 1), upper)


class Neighbours(NamedTuple):
    """The same points, to be read from the volume itself, without a shell.

    Attributes:
        row: where the next voxel below along every axis lies, or would, in the volume's D^3.
        weights: per axis, those of the next voxels below and above; zero outside the grid.
    """

    row: Int[Array, "d d d"]
    weights: list[tuple[Float[Array, "d d d"], Float[Array, "d d d"]]]


def locate_neighbours(rotation: Float[Array, "3 3"], size: int) -> Neighbours:
    """Returns where a grid is read, as `locate` does, for reading it without padding it first."""
    row = jnp.zeros((), jnp.int32)
    weights = []
    for lower, above in _coordinates(rotation, size):
        row = row * size + jnp.clip(lower, -1, size).astype(jnp.int32)
        weights.append(
            (
                # Asked so that the weights of a rotation that is not a number are none either.
                jnp.where((lower < 0) | (lower >= size), 0, 1 - above),
                jnp.where((lower < -1) | (lower >= size - 1), 0, above),
            )
        )
    return Neighbours(row, weights)


def _coordinates(
    rotation: Float[Array, "3 3"], size: int
) -> Iterator[tuple[Float[Array, "d d d"], Float[Array, "d d d"]]]:
    """Yields, per axis, the index of the next voxel below every sample and how far above it is."""
    points = axis_points(size)
    coarse, fine = split(rotation)
    for axis in range(3):
        whole = dot(coarse[:, axis], points) + (size - 1) / 2
        # Their sum in float32 would round samples onto voxel centres.
        fraction = (whole - jnp.floor(whole)) + dot(fine[:, axis], points)
        below = jnp.floor(fraction)
        yield jnp.floor(whole) + below, fraction - below


def axis_points(size: int) -> Float[np.ndarray, " d"]:
    """Returns the voxel centres along an axis, measured from the grid's centre."""
    return np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)


def split(rotation: Float[Array, "3 3"]) -> tuple[Float[Array, "3 3"], Float[Array, "3 3"]]:
    """Returns two parts of a rotation, the larger one with exact products; see `_CUT`."""
    coarse = jnp.round(rotation / _CUT) * _CUT
    return coarse, rotation - coarse


def dot(column: Float[Array, " 3"], points: Float[np.ndarray, " d"]) -> Float[Array, "d d d"]:
    """Returns column . p at every voxel centre p, by elementwise sums that XLA fuses."""
    x, y, z = column
    return (x * points[:, None, None] + y * points[:, None]) + z * points


def corner_weights(upper: list[Float[Array, "..."]]) -> Iterator[tuple[tuple, Float[Array, "..."]]]:
    """Yields the neighbours of every sample, 2^n for n axes: (offset of a corner, its weights)."""
    yield from corner_products([(1 - above, above) for above in upper])


def corner_products(
    weights: list[tuple[Float[Array, "..."], Float[Array, "..."]]],
) -> Iterator[tuple[tuple, Float[Array, "..."]]]:
    """Yields what `corner_weights` does, from the lower and the upper weights of every axis."""
    for offset in itertools.product((0, 1), repeat=len(weights)):
        factors = [pair[step] for step, pair in zip(offset, weights, strict=True)]
        yield offset, functools.reduce(operator.mul, factors)


def strides(size: int) -> tuple[int, int, int]:
    """Returns how many rows of `pad(volume)` apart neighbours along x, y and z lie."""
    return (size + 2) ** 2, size + 2, 1


def pad(volume: Float[Array, "d d d ..."]) -> Float[Array, "n ..."]:
    """Returns the volume within a shell of zeros, its (D + 2)^3 voxels in a row."""
    shell = ((1, 1),) * 3 + ((0, 0),) * (volume.ndim - 3)
    return jnp.pad(volume, shell).reshape(-1, *volume.shape[3:])


def pad_batch(volumes: Float[Array, "b d d d ..."]) -> Float[Array, "b n ..."]:
    """Pads every volume, by copying lines: on a CPU faster than XLA's padding, element by element.

    Of a batch only: vmap would make a scatter of it.
    """
    batch, size, channels = len(volumes), volumes.shape[1] + 2, volumes.shape[4:]
    shells = jnp.zeros((batch, *(size,) * 3, *channels), volumes.dtype)
    padded = jax.lax.dynamic_update_slice(shells, volumes, (0, 1, 1, 1, *(0 for _ in channels)))
    return padded.reshape(batch, size**3, *channels)


@batching.on_batches
def read(table: Float[Array, "b n ..."], row: Int[Array, "b d d d"]) -> Float[Array, "b d d d ..."]:
    """Reads rows of a table, in float32."""
    batch, count = table.shape[:2]
    if batch * count > np.iinfo(np.int32).max:
        return jax.vmap(take)(table, row)
    first = (jnp.arange(batch, dtype=jnp.int32) * count).reshape(-1, *(1,) * (row.ndim - 1))
    return take(table.reshape(batch * count, *table.shape[2:]), row + first)


def take(table: Float[Array, "n ..."], row: Int[Array, "..."]) -> Float[Array, "..."]:
    """Reads rows of one table, in float32; unlike `read` it can be differentiated."""
    rows = table.at[row].get(mode="promise_in_bounds", wrap_negative_indices=False)
    return rows.astype(jnp.float32)


def drop_single_channel(volume: Float[Array, "... c"]) -> Float[Array, "..."]:
    """Removes the last axis where it is 1: XLA's loops over it would have one pass each."""
    return volume[..., 0] if volume.shape[-1] == 1 else volume


def weigh(weights: Float[Array, "..."], values: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns the values times a weight per voxel, whether they have channels or not."""
    return jax.lax.expand_dims(weights, range(weights.ndim, values.ndim)) * values
