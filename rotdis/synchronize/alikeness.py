"""Which canonical forms of a training set are alike, and how their frames differ.

Objects are described by how much surface faces each of six directions in coarse cells: histograms
of oriented gradients (Dalal and Triggs, CVPR 2005), in 3-D. Of thousands of objects what most of
them share is known, and tells nothing: that there is a slab, that the middle is full. Whitened
descriptions weigh what is rare instead, and their products tell the right one of the cube's
rotations far more often than overlaps do (Hariharan, Malik and Ramanan, "Discriminative
Decorrelation for Clustering and Classification", ECCV 2012). Before that, forms are stretched
towards one box (`proportions`).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rotdis.geometry import so3
from rotdis.synchronize import proportions
from rotdis.synchronize.pairs import Pairs, group_tables

SIDE = 16  # of the forms
_CELLS = 4  # along a side
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
    features = jnp.asarray(_whitened(_oriented_gradients(forms)), jnp.float32)
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


def _oriented_gradients(forms: Float[np.ndarray, "n s s s"]) -> Float[np.ndarray, "n f"]:
    """Returns roots of the surface that faces x, y, z, -x, -y and -z in each cell, of norm 1.

    The root (RootSIFT: Arandjelovic and Zisserman, CVPR 2012) lets small surfaces count as well.
    """
    padded = np.pad(forms, [(0, 0)] + [(1, 1)] * 3)
    inner = slice(1, -1)
    slopes = [np.gradient(padded, axis=axis)[:, inner, inner, inner] for axis in (1, 2, 3)]
    faces = np.stack([np.maximum(sign * slope, 0) for sign in (1, -1) for slope in slopes], axis=-1)
    width = forms.shape[1] // _CELLS
    cells = faces.reshape(len(forms), *(_CELLS, width) * 3, 6).mean(axis=(2, 4, 6))
    return _of_norm_one(np.sqrt(cells.reshape(len(forms), -1)).astype(np.float64))


@functools.cache
def _permutations() -> Int[np.ndarray, "24 f"]:
    """Returns where each feature of rotate(form, g^-1) is found among those of the form."""
    centres = 2 * np.indices((_CELLS,) * 3).reshape(3, -1).T - (_CELLS - 1)
    directions = np.concatenate([np.eye(3, dtype=int), -np.eye(3, dtype=int)])
    points = (4 * _CELLS * centres[:, None] + directions).reshape(-1, 3)  # all different
    turned = np.einsum("gij,fj->gfi", so3.cube_group().astype(int), points)
    return (turned[:, :, None] == points).all(axis=-1).argmax(axis=-1)


def _whitened(features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
    """Returns features less their mean, decorrelated, of norm 1.

    Mean and covariance are those of all objects in all of the cube's rotations, so that whitening
    commutes with them.
    """
    moments = features.T @ features / len(features)
    moments = sum(moments[np.ix_(order, order)] for order in _permutations()) / 24
    mean = features.mean(axis=0)[_permutations()].mean(axis=0)
    values, vectors = np.linalg.eigh(moments - np.outer(mean, mean))
    # An empty or single-valued set has no covariance.
    scale = (np.maximum(values, 0) + _SHRINKAGE * max(values.max(), 1e-12)) ** -0.5
    return _of_norm_one((features - mean) @ (vectors * scale) @ vectors.T)


def _of_norm_one(features: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "n f"]:
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


@functools.partial(jax.jit, static_argnames="count")
def _most_alike(
    features: Float[Array, "n f"], block: Int[Array, " b"], count: int
) -> tuple[Int[Array, "b k"], Float[Array, "b k 24"]]:
    """Returns the objects that are most like those of the block, and their products."""
    copies = features[block][:, _permutations()]
    alike = jnp.einsum("bgf,nf->bng", copies, features, precision="high")
    best = alike.max(-1).at[jnp.arange(len(block)), block].set(-jnp.inf)
    _, found = jax.lax.top_k(best, count)
    return found, jnp.take_along_axis(alike, found[..., None], axis=1)
