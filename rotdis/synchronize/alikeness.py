"""Which canonical forms of a training set are alike, and how their frames differ.

Of thousands of objects what most of them share is known, and tells nothing: that there is a slab,
that the middle is full. Whitened volumes weigh what is rare instead, and their products tell the
right one of the cube's rotations far more often than overlaps do (Hariharan, Malik and Ramanan,
"Discriminative Decorrelation for Clustering and Classification", ECCV 2012). Before that, forms are
stretched towards one box (`proportions`).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rotdis.geometry import resample
from rotdis.models import blocks
from rotdis.synchronize import proportions
from rotdis.synchronize.pairs import Pairs, group_tables

SIDE = 16  # of the forms
_COARSE = 8  # side of the volumes that are whitened
# The rest is chosen on ModelNet10's training split: how far forms are stretched (0, 0.3, 0.5, 0.7,
# 1);
_STRETCHED = 0.7
# added to the covariance, as a share of its largest eigenvalue (0.1, 0.01, 0.001);
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
    forms = proportions.stretched(np.asarray(forms, np.float32), _STRETCHED)
    features = _whitened(_smoothed(jnp.asarray(forms)))
    count, neighbours = len(forms), min(neighbours, len(forms) - 1)
    second, alikeness = [], []
    for start in range(0, count, _BLOCK):
        block = np.minimum(np.arange(start, start + _BLOCK), count - 1)
        found, alike = _most_alike(features, jnp.asarray(block), count=neighbours)
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


def _smoothed(forms: Float[Array, "n s s s"]) -> Float[Array, "n h h h"]:
    """Returns forms smoothed, so that thin parts overlap, at half the side and of norm 1."""
    for axis in (1, 2, 3):
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        padded = jnp.pad(forms, pad)
        before, middle, after = (
            jax.lax.slice_in_dim(padded, i, i + forms.shape[axis], axis=axis) for i in range(3)
        )
        forms = (before + 2 * middle + after) / 4
    norms = jnp.sqrt(jnp.sum(forms**2, (1, 2, 3), keepdims=True))
    return blocks.pool(forms / jnp.maximum(norms, 1e-6), _COARSE)


def _whitened(volumes: Float[Array, "n s s s"]) -> Float[Array, "n s s s"]:
    """Returns volumes less their mean, decorrelated, of norm 1.

    Mean and covariance are those of all volumes in all of the cube's rotations, so that whitening
    commutes with them.
    """
    flat = np.asarray(volumes, np.float64).reshape(len(volumes), -1)
    voxels = jnp.arange(flat.shape[1]).reshape(1, *volumes.shape[1:])
    permutations = np.asarray(resample.cube_copies(voxels)).reshape(24, -1)
    moments = flat.T @ flat / len(flat)
    moments = sum(moments[np.ix_(order, order)] for order in permutations) / 24
    mean = flat.mean(axis=0)[permutations].mean(axis=0)
    values, vectors = np.linalg.eigh(moments - np.outer(mean, mean))
    # An empty or single-valued set has no covariance.
    scale = (np.maximum(values, 0) + _SHRINKAGE * max(values.max(), 1e-12)) ** -0.5
    white = (flat - mean) @ (vectors * scale) @ vectors.T
    white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-12)
    return jnp.asarray(white.reshape(volumes.shape), jnp.float32)


@functools.partial(jax.jit, static_argnames="count")
def _most_alike(
    features: Float[Array, "n s s s"], block: Int[Array, " b"], count: int
) -> tuple[Int[Array, "b k"], Float[Array, "b k 24"]]:
    """Returns the objects that are most like those of the block, and their products."""
    copies = resample.cube_copies(features[block])
    alike = jnp.einsum("bgijk,nijk->bng", copies, features, precision="high")
    best = alike.max(-1).at[jnp.arange(len(block)), block].set(-jnp.inf)
    _, found = jax.lax.top_k(best, count)
    return found, jnp.take_along_axis(alike, found[..., None], axis=1)
