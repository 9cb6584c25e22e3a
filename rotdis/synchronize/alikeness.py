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
_CELLS = 4  # along a side
# Chosen on ModelNet10's training split: what is added to the covariance, as a share of its largest
# eigenvalue (0.1, 0.01, 0.001);
_SHRINKAGE = 0.01
# the most that a comparison can say against a rotation, as a multiple of what the best one lacks of
# full likeness (0.5, 1, 3, 100; the first two are as good): a larger share is more often right.
_CLEAR = 0.5
_LEAST = 1e-3  # that any pair lacks
_BLOCK = 64  # objects compared at once with all: bounds the memory at _BLOCK * 24 * N floats


def compare(forms: Float[np.ndarray, "n 16 16 16"], neighbours: int) -> Pairs:
    """Compares every object with those that resemble it most, at the cube's rotations.

    Args:
        forms: the objects, centred, each in a frame of its own.
        neighbours: how many, at most N - 1, each is compared with.

    Returns:
        The pairs; the best rotation's score is 0, that of clearly worse ones -`_CLEAR`.
    """
    ((variants, order),) = surface.describe(forms, (_CELLS,))
    kinds = [
        tuple(map(jnp.asarray, _decorrelated(features, order)))
        for features in np.moveaxis(variants, 1, 0)
    ]
    count, neighbours = len(forms), min(neighbours, len(forms) - 1)
    second, alikeness = [], []
    for start in range(0, count, _BLOCK):
        block = np.minimum(np.arange(start, start + _BLOCK), count - 1)
        found, alike = _most_alike(kinds, jnp.asarray(order), jnp.asarray(block), count=neighbours)
        used = min(_BLOCK, count - start)
        second.append(np.asarray(found)[:used])
        alikeness.append(np.asarray(alike)[:used])
    alike = np.concatenate(alikeness).reshape(-1, 24).astype(np.float64)
    best = alike.max(axis=1, keepdims=True)
    scores = -np.minimum((best - alike) / (1 - best + _LEAST), _CLEAR)
    first, second = np.repeat(np.arange(count), neighbours), np.concatenate(second).reshape(-1)
    # Alike are rotate(first, g^-1) and second; scores are of rotate(i, g) and j, i < j.
    _, inverse = group_tables()
    scores = np.where((first < second)[:, None], scores[:, inverse], scores)
    pairs = np.sort(np.stack([first, second], axis=1), axis=1)
    # Two objects that found each other have the same scores twice, up to rounding.
    edges, place = np.unique(pairs, axis=0, return_index=True)
    return Pairs(edges, scores[place])


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
    start = np.random.default_rng(0).normal(size=len(mean))
    largest = eigsh(covariance, k=1, v0=start, return_eigenvectors=False)[0]
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
) -> tuple[Int[Array, "b k"], Float[Array, "b k 24"]]:
    """Returns the objects that are most like those of the block, and the means of their cosines."""
    alike = sum(
        jnp.einsum("bgv,nv->bng", left[block][:, order], right, precision="high")
        for left, right in kinds
    ) / len(kinds)
    best = alike.max(-1).at[jnp.arange(len(block)), block].set(-jnp.inf)
    _, found = jax.lax.top_k(best, count)
    return found, jnp.take_along_axis(alike, found[..., None], axis=1)
