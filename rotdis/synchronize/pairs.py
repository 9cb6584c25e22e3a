"""Which objects are alike, and how well each such pair fits at every rotation of the cube.

The heavy part of synchronization, on the device: a pair's 24 distances are one product of matrices,
since the cube's rotations only permute the numbers of a description. Candidates are found by what
no rotation of the cube changes, an object's distances to a few of the others, so the number of
pairs that are tried is linear in that of the objects.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from rotdis.geometry import resample, so3
from rotdis.synchronize.fields import padded

_LANDMARKS = 64  # objects by which all others are described
_SHORTLIST = 48  # candidates for an object's neighbours
_CHUNK = 16  # objects at a time: bounds the memory
_SHARPNESS = 2.0  # of the score; of 1, 2 and 4 it was best, or as good, on generated furniture
_SMALLEST_SCALE = 0.02  # of a squared field; alike objects of one kind differ by 0.05 to 0.1
_SCALE_RANK = 4  # the neighbour whose distance is an object's own scale


class Description(NamedTuple):
    """What objects are compared by.

    Attributes:
        features: V numbers of each object, in each of K variants.
        order: those of rotate(object, g^-1) are features[..., order[g]], for g of `so3.cube_group`.
    """

    features: Float[np.ndarray, "n k v"]
    order: Int[np.ndarray, "24 v"]


def of_volumes(fields: UInt8[np.ndarray, "n d d d"]) -> Description:
    """Returns the voxels themselves, 255 for one, as a description."""
    side = fields.shape[1]
    features = fields.reshape(len(fields), 1, side**3).astype(np.float32) / 255
    return Description(features, resample.cube_permutations(side))


class Pairs(NamedTuple):
    """Pairs of similar objects.

    Attributes:
        edges: (i, j), i < j, sorted.
        scores: how well rotate(i, g) fits j, for g of `so3.cube_group`; the larger, the better.
    """

    edges: Int[np.ndarray, "e 2"]
    scores: Float[np.ndarray, "e 24"]


def nearest(descriptions: Sequence[Description], count: int) -> Pairs:
    """Returns each object's nearest neighbours, at the best of the cube's rotations.

    A score is exp(-2 d^2 / (s_i s_j)), in (0, 1], d the Euclidean distance of the features and s
    the distance to an object's fourth neighbour: the self-tuning affinity of Zelnik-Manor and
    Perona, "Self-Tuning Spectral Clustering" (NeurIPS 2004). So near neighbours decide, wherever
    there are any. Of several descriptions, and variants of them, it is the mean, so that one which
    tells is not outvoted by those that do not.

    Args:
        descriptions: of the objects, turned as they are to be compared; in units in which their
            distances can be added. Neighbours are those at the least sum of squared distances.
        count: k, neighbours of each object; a pair is listed once.
    """
    number = len(descriptions[0].features)
    if number < 2:
        return Pairs(np.zeros((0, 2), int), np.zeros((0, 24)))
    features = [np.asarray(each.features, np.float32) for each in descriptions]
    orders = [jnp.asarray(each.order[_inverses()]) for each in descriptions]  # of rotate(x, g)
    shortlist = _shortlist(features, orders)
    everything = padded(1 << 30, *features)
    squares: dict[tuple[int, int], np.ndarray] = {}  # (variants, 24) of a pair
    scale = np.ones((number, sum(each.shape[1] for each in features)))
    for start in range(0, number, _CHUNK):
        index = np.arange(start, min(start + _CHUNK, number))
        *chunk, near = padded(_CHUNK, *(each[index] for each in features), shortlist[index])
        distances = np.asarray(_shortlisted(chunk, everything, near, orders))
        for i, row in zip(index, distances, strict=False):
            others = np.flatnonzero(shortlist[i] != i)
            row = row[:, :, others]
            order = np.argsort(row.sum(axis=0).min(axis=0), kind="stable")[:count]
            rank = min(_SCALE_RANK, len(order)) - 1
            scale[i] = np.sort(row.min(axis=1)[:, order], axis=1)[:, rank]
            for column in order:
                j = int(shortlist[i, others[column]])
                values = row[:, :, column] if i < j else row[:, _inverses(), column]
                squares[min(int(i), j), max(int(i), j)] = values
    edges = np.array(sorted(squares))
    values = np.stack([squares[i, j] for i, j in edges.tolist()]).astype(np.float64)
    # Copies of one part are at no distance at all; then the others must not count for nothing.
    norms = np.concatenate([np.sum(each**2, axis=2).mean(axis=0) for each in features])
    scale = np.maximum(scale, _SMALLEST_SCALE * norms)
    unit = np.sqrt(scale[edges[:, 0]] * scale[edges[:, 1]])[..., None]
    unit = np.maximum(unit, 1e-12)  # where no object has any features, all fits are alike
    return Pairs(edges, np.exp(-_SHARPNESS * values / unit).mean(axis=1))


def _shortlist(
    features: list[Float[np.ndarray, "n k v"]], orders: list[Int[Array, "24 v"]]
) -> Int[np.ndarray, "n s"]:
    """Returns for each object those whose distances to the landmarks are most like its own."""
    number = len(features[0])
    if number <= _LANDMARKS:
        return np.tile(np.arange(number), (number, 1))
    from sklearn.neighbors import NearestNeighbors  # here: it takes a second to import

    # Spread over the list, which often is sorted by kind.
    spread = np.linspace(0, number - 1, _LANDMARKS).astype(int)
    landmarks = [each[spread] for each in features]
    profiles = np.empty((number, _LANDMARKS), np.float32)
    for start in range(0, number, _CHUNK):
        chunk = [each[start : start + _CHUNK] for each in features]
        profile = np.asarray(_profile(padded(_CHUNK, *chunk), landmarks, orders))
        profiles[start : start + _CHUNK] = profile[: len(chunk[0])]
    search = NearestNeighbors(n_neighbors=_SHORTLIST + 1).fit(profiles)
    return search.kneighbors(profiles, return_distance=False)


@jax.jit
def _profile(
    chosen: list[Float[Array, "b k v"]],
    landmarks: list[Float[Array, "m k v"]],
    orders: list[Int[Array, "24 v"]],
) -> Float[Array, "b m"]:
    def of_one(one):
        return jnp.sqrt(_distances(one, landmarks, orders).sum(axis=0).min(axis=0))

    return jax.lax.map(of_one, chosen)


@jax.jit
def _shortlisted(
    chosen: list[Float[Array, "b k v"]],
    features: list[Float[Array, "n k v"]],
    shortlist: Int[Array, "b s"],
    orders: list[Int[Array, "24 v"]],
) -> Float[Array, "b f 24 s"]:
    def of_one(pair):
        one, near = pair
        return _distances(one, [each[near] for each in features], orders)

    return jax.lax.map(of_one, (chosen, shortlist))


def _distances(
    one: list[Float[Array, "k v"]],
    others: list[Float[Array, "m k v"]],
    orders: list[Int[Array, "24 v"]],
) -> Float[Array, "f 24 m"]:
    """Returns squared distances of an object, turned by each g of the cube's group, to others."""

    def of_kind(one, others, order):
        common = jnp.einsum("kgv,mkv->kgm", one[:, order], others, precision="highest")
        squares = jnp.sum(one**2, axis=1)[:, None] + jnp.sum(others**2, axis=2).T
        return jnp.maximum(squares[:, None] - 2 * common, 0)

    return jnp.concatenate([of_kind(*each) for each in zip(one, others, orders, strict=True)])


def _inverses() -> Int[np.ndarray, " 24"]:
    return group_tables()[1]


@functools.cache
def group_tables() -> tuple[Int[np.ndarray, "24 24"], Int[np.ndarray, " 24"]]:
    """Returns the cube group's products (the index of g h at [g, h]) and inverses."""
    group = so3.cube_group()
    products = np.einsum("gij,hjk->ghik", group, group)
    products = (np.abs(products[:, :, None] - group).sum(axis=(-2, -1)) < 0.5).argmax(axis=-1)
    return products, (products == 0).argmax(axis=1)
