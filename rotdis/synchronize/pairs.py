"""Which objects are alike, and how well each such pair fits at every rotation of the cube.

The heavy part of synchronization, on the device: a pair's 24 distances are one product of matrices,
since the cube's rotations only permute the numbers of a description. Candidates are found by what
no rotation of the cube changes, an object's distances to a few of the others, so the number of
pairs that are tried is linear in that of the objects.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from scipy import sparse

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


def nearest(descriptions: Sequence[Description], count: int, *, joined: bool = False) -> Pairs:
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
        joined: whether all objects are of one kind. Many copies of each of a few parts are
            neighbours of nothing but each other; then the nearest pairs between such components are
            listed as well, scored as if their distance at the best rotation were usual.
    """
    number = len(descriptions[0].features)
    if number < 2:
        return Pairs(np.zeros((0, 2), int), np.zeros((0, 24)))
    measure = _Distances(descriptions)
    squares: dict[tuple[int, int], np.ndarray] = {}  # (variants, 24) of a pair
    scale = np.ones((number, sum(each.features.shape[1] for each in descriptions)))
    for i, others, row in measure.rows(np.arange(number), measure.shortlist()):
        order = np.argsort(row.sum(axis=0).min(axis=0), kind="stable")[:count]
        rank = min(_SCALE_RANK, len(order)) - 1
        scale[i] = np.sort(row.min(axis=1)[:, order], axis=1)[:, rank]
        for column in order:
            _note(squares, i, int(others[column]), row[:, :, column])
    own = len(squares)
    if joined:
        _join(squares, measure, number, count)
    edges = np.array(list(squares))
    values = np.stack(list(squares.values())).astype(np.float64)
    # Copies of one part are at no distance at all; then the others must not count for nothing.
    norms = np.concatenate([np.sum(each**2, axis=2).mean(axis=0) for each in measure.features])
    scale = np.maximum(scale, _SMALLEST_SCALE * norms)
    unit = np.sqrt(scale[edges[:, 0]] * scale[edges[:, 1]])
    unit[own:] = np.maximum(unit[own:], values[own:].min(axis=2))
    unit = np.maximum(unit, 1e-12)  # where no object has any features, all fits are alike
    scores = np.exp(-_SHARPNESS * values / unit[..., None]).mean(axis=1)
    order = np.lexsort(edges.T[::-1])
    return Pairs(edges[order], scores[order])


def _note(squares: dict[tuple[int, int], np.ndarray], i: int, j: int, values: np.ndarray) -> None:
    """Keeps the distances of rotate(i, g) and j; a copy, since those of i and all others are 48."""
    squares[min(i, j), max(i, j)] = (values if i < j else values[:, _inverses()]).copy()


def _join(
    squares: dict[tuple[int, int], np.ndarray], measure: "_Distances", number: int, count: int
) -> None:
    """Adds, for each component, the `count` nearest pairs that lead out of it, until it is one."""
    while True:
        edges = np.array(list(squares))
        links = sparse.coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(number, number))
        components, label = sparse.csgraph.connected_components(links, directed=False)
        if components == 1:
            return
        for component in range(components):
            inside = _spread(np.flatnonzero(label == component), count)
            outside = _spread(np.flatnonzero(label != component), _SHORTLIST)
            # Always as many, so that the device compiles it once.
            tried = np.tile(np.resize(outside, _SHORTLIST), (len(inside), 1))
            found = [
                (row[:, :, column].sum(axis=0).min(), i, int(others[column]), row[:, :, column])
                for i, others, row in measure.rows(inside, tried)
                for column in range(len(outside))
            ]
            for _, i, j, values in sorted(found, key=lambda pair: pair[:3])[:count]:
                _note(squares, i, j, values)


def _spread(places: Int[np.ndarray, " n"], most: int) -> Int[np.ndarray, " m"]:
    """Returns all places, or as many as are wanted, spread over the list."""
    return places[np.linspace(0, len(places) - 1, min(len(places), most)).astype(int)]


class _Distances:
    """Squared distances of objects at the cube's rotations, measured on the device."""

    def __init__(self, descriptions: Sequence[Description]):
        self.features = [np.asarray(each.features, np.float32) for each in descriptions]
        # Of rotate(x, g).
        self._orders = [jnp.asarray(each.order[_inverses()]) for each in descriptions]
        # There once, not once a chunk.
        self._everything = [jnp.asarray(each) for each in padded(1 << 30, *self.features)]

    def shortlist(self) -> Int[np.ndarray, "n s"]:
        """Returns the candidates for each object's neighbours, itself among them."""
        return _shortlist(self.features, self._orders)

    def rows(
        self, index: Int[np.ndarray, " m"], candidates: Int[np.ndarray, "m s"]
    ) -> Iterator[tuple[int, Int[np.ndarray, " c"], Float[np.ndarray, "f 24 c"]]]:
        """Yields each object, its candidates but itself, and how far each of them is."""
        for start in range(0, len(index), _CHUNK):
            part = slice(start, start + _CHUNK)
            chunk = [each[index[part]] for each in self.features]
            *chunk, near = padded(_CHUNK, *chunk, candidates[part])
            distances = np.asarray(_shortlisted(chunk, self._everything, near, self._orders))
            for i, others, row in zip(index[part], candidates[part], distances, strict=False):
                kept = np.flatnonzero(others != i)
                yield int(i), others[kept], row[:, :, kept]


def _shortlist(
    features: list[Float[np.ndarray, "n k v"]], orders: list[Int[Array, "24 v"]]
) -> Int[np.ndarray, "n s"]:
    """Returns for each object those whose distances to the landmarks are most like its own."""
    number = len(features[0])
    if number <= _LANDMARKS:
        return np.tile(np.arange(number), (number, 1))
    from sklearn.neighbors import NearestNeighbors  # here: it takes a second to import

    # Spread over the list, which often is sorted by kind.
    spread = _spread(np.arange(number), _LANDMARKS)
    landmarks = [jnp.asarray(each[spread]) for each in features]
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
