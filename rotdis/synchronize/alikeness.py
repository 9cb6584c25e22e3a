"""Which canonical forms of a training set are alike, and how their frames differ.

Of thousands of objects what most of them share is known, and tells nothing: that there is a slab,
that the middle is full. Their descriptions (`surface`), decorrelated, weigh what is rare instead,
and their products tell the right one of the cube's rotations far more often than overlaps do
(Hariharan, Malik and Ramanan, "Discriminative Decorrelation for Clustering and Classification",
ECCV 2012).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Int
from scipy.sparse.linalg import eigsh

from rotdis.synchronize import surface
from rotdis.synchronize.pairs import Pairs, group_tables

SIDE = 16  # of the forms
COORDINATES = 64  # that tell how alike objects are
_CELLS = 4  # along a side
# Chosen on ModelNet10's training split: what is added to the covariance, as a share of its largest
# eigenvalue (0.1, 0.01, 0.001);
_SHRINKAGE = 0.01
# the most that a comparison can say against a rotation, as a multiple of what the best one lacks of
# full likeness (0.5, 1, 3, 100; the first two are as good): a larger share is more often right.
_CLEAR = 0.5
_LEAST = 1e-3  # that any pair lacks
_ZERO = 1e-6  # as far as float32 products of alike objects are equal
_BLOCK = 64  # objects compared at once with all: bounds the memory at _BLOCK * 24 * N floats


def compare(
    forms: Float[np.ndarray, "n 16 16 16"], neighbours: int
) -> tuple[Pairs, Float[np.ndarray, "n n"]]:
    """Compares every object with those that resemble it most, at the cube's rotations.

    Args:
        forms: the objects, centred, each in a frame of its own.
        neighbours: how many, at most N - 1, each is compared with.

    Returns:
        The pairs; the best rotation's score is 0, that of clearly worse ones -`_CLEAR`. And
        how alike all objects are at their best rotations, cosines.
    """
    ((variants, order),) = surface.describe(forms, (_CELLS,))
    kinds = [
        tuple(map(jnp.asarray, _decorrelated(features, order)))
        for features in np.moveaxis(variants, 1, 0)
    ]
    count, neighbours = len(forms), min(neighbours, len(forms) - 1)
    second, alikeness, best = [], [], []
    for start in range(0, count, _BLOCK):
        block = np.minimum(np.arange(start, start + _BLOCK), count - 1)
        found, alike, most = _most_alike(
            kinds, jnp.asarray(order), jnp.asarray(block), count=neighbours
        )
        used = min(_BLOCK, count - start)
        second.append(np.asarray(found)[:used])
        alikeness.append(np.asarray(alike)[:used])
        best.append(np.asarray(most)[:used])
    alike = np.concatenate(alikeness).reshape(-1, 24).astype(np.float64)
    fit = alike.max(axis=1, keepdims=True)
    scores = -np.minimum((fit - alike) / (1 - fit + _LEAST), _CLEAR)
    first, second = np.repeat(np.arange(count), neighbours), np.concatenate(second).reshape(-1)
    # Alike are rotate(first, g^-1) and second; scores are of rotate(i, g) and j, i < j.
    _, inverse = group_tables()
    scores = np.where((first < second)[:, None], scores[:, inverse], scores)
    pairs = np.sort(np.stack([first, second], axis=1), axis=1)
    # Two objects that found each other have the same scores twice, up to rounding.
    edges, place = np.unique(pairs, axis=0, return_index=True)
    return Pairs(edges, scores[place]), np.concatenate(best)


def coordinates(alikeness: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n 64"]:
    """Returns coordinates whose products are nearly what all objects are alike, less their means.

    Kernel principal components (Schölkopf, Smola and Müller, 1998), scaled by the roots of their
    eigenvalues; zeros behind the last if there are fewer than `COORDINATES`.
    """
    kernel = (alikeness + alikeness.T).astype(np.float64) / 2
    np.fill_diagonal(kernel, 1)
    means = kernel.mean(axis=0)
    kernel += means.mean() - means - means[:, None]
    count = min(COORDINATES, len(kernel) - 1)
    if not np.abs(kernel).max() > _ZERO:  # copies of one object, which have nothing to tell
        return np.zeros((len(kernel), COORDINATES), np.float32)
    rng = np.random.default_rng(0)  # of few different objects the solver draws further starts, too
    start = rng.normal(size=len(kernel))
    values, vectors = eigsh(kernel, k=count, which="LA", v0=start, rng=rng)
    found = vectors * np.sqrt(np.maximum(values, 0))
    return np.pad(found, [(0, 0), (0, COORDINATES - count)]).astype(np.float32)


def _decorrelated(
    features: Float[np.ndarray, "n v"], order: Int[np.ndarray, "24 v"]
) -> tuple[Float[np.ndarray, "n v"], Float[np.ndarray, "n v"]]:
    """Returns A and B so that A B^T are the cosines of whitened features.

    Mean m and covariance C are those of all objects in all of the cube's rotations. Then these,
    permutations P, commute with C, and P a . C^-1 b is what one object turned and another have in
    common; the norm, the root of a . C^-1 a, is the same for both.
    """
    features = features.astype(np.float64)
    moments = features.T @ features / len(features)
    moments = sum(moments[np.ix_(each, each)] for each in order) / 24
    mean = features.mean(axis=0)[order].mean(axis=0)
    covariance = moments - np.outer(mean, mean)
    diagonal = np.diag_indices_from(covariance)
    covariance[diagonal] += 1e-12  # an empty or single-valued set has none
    rng = np.random.default_rng(0)
    start = rng.normal(size=len(mean))
    largest = eigsh(covariance, k=1, v0=start, rng=rng, return_eigenvectors=False)[0]
    covariance[diagonal] += _SHRINKAGE * largest
    centred = features - mean
    whitened = scipy.linalg.solve(covariance, centred.T, assume_a="pos").T
    norm = np.sqrt(np.maximum(np.sum(centred * whitened, axis=1, keepdims=True), 1e-24))
    return (centred / norm).astype(np.float32), (whitened / norm).astype(np.float32)


@functools.partial(jax.jit, static_argnames="count")
def _most_alike(
    kinds: list[tuple[Float[Array, "n v"], Float[Array, "n v"]]],
    order: Int[Array, "24 v"],
    block: Int[Array, " b"],
    count: int,
) -> tuple[Int[Array, "b k"], Float[Array, "b k 24"], Float[Array, "b n"]]:
    """Returns the objects that are most like those of the block, and the means of their cosines.

    And of all objects the best of these means.
    """
    alike = sum(
        jnp.einsum("bgv,nv->bng", left[block][:, order], right, precision="high")
        for left, right in kinds
    ) / len(kinds)
    best = alike.max(-1)
    _, found = jax.lax.top_k(best.at[jnp.arange(len(block)), block].set(-jnp.inf), count)
    return found, jnp.take_along_axis(alike, found[..., None], axis=1), best
