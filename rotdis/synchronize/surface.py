"""What objects are compared by: how much of their surface lies where, and which way it faces.

Histograms of oriented gradients (Dalal and Triggs, CVPR 2005), in 3-D: in each of some cells, the
surface that faces x, y, z, -x, -y and -z. Coarse and fine cells, and the object as it is and
stretched towards one box (`proportions`), are descriptions of their own, since each tells something
of some objects. A rotation of the cube only permutes the numbers of a description, so a pair is
compared at all 24 by one product of matrices.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from rotdis.geometry import so3
from rotdis.synchronize import proportions
from rotdis.synchronize.fields import padded
from rotdis.synchronize.pairs import Description

STRETCHED = (0.0, 0.7, 1.0)  # how far towards one box
_CHUNK = 32  # objects at a time


def describe(volumes: Num[np.ndarray, "n d d d"], cells: tuple[int, ...]) -> list[Description]:
    """Describes centred objects, whose faces are parallel to the grid, by cells of each size.

    Args:
        volumes: occupancy, in any unit.
        cells: how many along a side.

    Returns:
        For each of `cells` the features of each of `STRETCHED`: in every cell the root of the
        surface facing each direction, of norm 1 (0 for an empty object).
    """
    orders = [permutations(each) for each in cells]
    return described(volumes, functools.partial(_features_of_batch, cells=cells), orders)


def described(
    volumes: Num[np.ndarray, "n d d d"],
    features_of: Callable[[Float[np.ndarray, "b d d d"]], Sequence[Float[Array, "b k v"]]],
    orders: Sequence[Int[np.ndarray, "24 v"]],
) -> list[Description]:
    """Returns what `features_of` says of objects, in each of `STRETCHED`, with the orders of it."""
    found = [[] for _ in orders]
    for start in range(0, len(volumes), _CHUNK):
        block = volumes[start : start + _CHUNK].astype(np.float32)
        for part, values in zip(found, features_of(*padded(_CHUNK, block)), strict=True):
            part.append(np.asarray(values)[: len(block)])
    return [
        Description(np.concatenate(part), order) for part, order in zip(found, orders, strict=True)
    ]


def variants(volume: Float[Array, "d d d"]) -> Float[Array, "k d d d"]:
    """Returns an object stretched by each of `STRETCHED`."""
    return jnp.stack(
        [proportions.stretched(volume, amount) if amount else volume for amount in STRETCHED]
    )


@functools.partial(jax.jit, static_argnames="cells")
def _features_of_batch(
    volumes: Float[Array, "b d d d"], cells: tuple[int, ...]
) -> list[Float[Array, "..."]]:
    return jax.lax.map(functools.partial(features, cells=cells), volumes)


def features(volume: Float[Array, "d d d"], cells: tuple[int, ...]) -> list[Float[Array, "k v"]]:
    """Returns `Description.features` of one object, for each of `cells`."""
    bordered, inner = jnp.pad(variants(volume), [(0, 0)] + [(1, 1)] * 3), slice(1, -1)
    slopes = [jnp.gradient(bordered, axis=axis)[:, inner, inner, inner] for axis in (1, 2, 3)]
    faces = jnp.stack(
        [jnp.maximum(sign * slope, 0) for sign in (1, -1) for slope in slopes], axis=-1
    )
    return [_histogram(faces, binning(len(volume), each)) for each in cells]


def _histogram(
    faces: Float[Array, "k d d d 6"], weights: Float[np.ndarray, "d c"]
) -> Float[Array, "k v"]:
    sums = jnp.einsum(
        "kxyzf,xi,yj,zl->kijlf", faces, weights, weights, weights, precision="highest"
    )
    return roots(sums.reshape(len(faces), -1))


def roots(sums: Float[Array, "*n v"]) -> Float[Array, "*n v"]:
    """Returns roots of sums, since what is small is to count as well, of norm 1.

    As of SIFT in RootSIFT (Arandjelovic and Zisserman, CVPR 2012).
    """
    values = jnp.sqrt(sums)
    return values / jnp.maximum(jnp.linalg.norm(values, axis=-1, keepdims=True), 1e-12)


def binning(size: int, cells: int) -> Float[np.ndarray, "d c"]:
    """Returns each voxel's share in the two cells beside it, by its distance to their middles."""
    place = (np.arange(size) + 0.5) * cells / size - 0.5
    return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells))).astype(np.float32)


@functools.cache
def permutations(cells: int) -> Int[np.ndarray, "24 v"]:
    """Returns `Description.order` of cells^3 cells."""
    centres = 2 * np.indices((cells,) * 3).reshape(3, -1).T - (cells - 1)
    directions = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    return order_of((4 * cells * centres[:, None] + directions).reshape(-1, 3))


def order_of(points: Int[np.ndarray, "v 3"]) -> Int[np.ndarray, "24 v"]:
    """Returns `Description.order` of features that turn as points do, which are all different."""
    turned = np.einsum("gij,fj->gfi", so3.cube_group().astype(int), points)
    base = 2 * np.abs(points).max() + 1
    key, turned_key = (each @ [base**2, base, 1] for each in (points, turned))
    sort = np.argsort(key)
    return sort[np.searchsorted(key, turned_key, sorter=sort)]
