"""The terms of the loss, each for one example and unreduced; `objective` combines them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

_FLAT = 1e-6  # squared gradient of what is no surface
_OUTLIERS = -5.0  # logarithm of that constant
_ALIKE = 0.1  # likeness, a cosine, by which an object is e times as good a neighbour
_NEAR = 0.2  # the same of codes: as a share of the mean squared distance under the prior


def bernoulli_nll(logits: Float[Array, "d d d"], x: Float[Array, "d d d"]) -> Float[Array, ""]:
    """Returns -log p(x) of independent Bernoulli voxels in nats, summed over the voxels.

    Partial occupancy counts as the probability of a full voxel (cross-entropy).
    """
    # One softplus; log sigmoid(l) and log sigmoid(-l) apart would take two.
    return jnp.sum(jax.nn.softplus(logits) - x * logits)


def gaussian_kl(mean: Float[Array, " l"], logvar: Float[Array, " l"]) -> Float[Array, ""]:
    """Returns KL(Normal(mean, exp(logvar)) || Normal(0, 1)) in nats, summed over the code.

    Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix B.
    """
    return 0.5 * jnp.sum(jnp.exp(logvar) + mean**2 - 1 - logvar)


def uniform_kl(log_weights: Float[Array, " k"]) -> Float[Array, ""]:
    """Returns KL(q || uniform) in nats of weights that sum to 1: log k less their entropy."""
    return jnp.log(len(log_weights)) + jnp.sum(jnp.exp(log_weights) * log_weights)


def mixture_nll(
    log_weights: Float[Array, " k"],
    rotations: Float[Array, "k 3 3"],
    target: Float[Array, "3 3"],
    concentration: float,
) -> Float[Array, ""]:
    """Returns -log sum_k w_k exp(-concentration |R_k - target|_F^2), in nats.

    Up to its constant the negative log-likelihood of `target` under a mixture of isotropic matrix
    Fisher distributions (|R - T|_F^2 = 6 - 2 tr(R^T T)).
    """
    distances = jnp.sum((rotations - target) ** 2, axis=(-2, -1))
    return -jax.nn.logsumexp(log_weights - concentration * distances)


def rotation_nll(
    rotation: Float[Array, "3 3"], target: Float[Array, "3 3"], concentration: float
) -> Float[Array, ""]:
    """Returns -log of exp(-concentration |R - T|_F^2) mixed with a small constant, in nats.

    Like `mixture_nll` of one rotation, but a target far away, which no small correction can reach,
    has no pull.
    """
    distance = concentration * jnp.sum((rotation - target) ** 2)
    return -jnp.logaddexp(-distance, _OUTLIERS)


def neighbour_nll(
    squares: Float[Array, " n"],
    alikeness: Float[Array, " n"],
    counted: Bool[Array, " n"],
    size: int,
) -> Float[Array, ""]:
    """Returns how badly the codes near an object's tell which objects are like it, in nats.

    The cross-entropy between two distributions over the others, which one is taken for a neighbour:
    by the shapes' likeness, and by the distance of the codes. Of Hinton and Roweis, "Stochastic
    Neighbor Embedding", NIPS 2002, with likeness in place of distances that are given.

    Args:
        squares: squared distances of the object's code to those of others.
        alikeness: how alike its shape is to theirs: a cosine less both objects' mean cosines, up
            to a constant.
        counted: which of them are others, and known.
        size: L of the codes; two of the prior differ by 2 L in the mean.
    """
    nobody = -1e9  # not infinite: gradients stay finite where nobody is counted
    wanted = jax.nn.softmax(jnp.where(counted, alikeness / _ALIKE, nobody))
    told = jax.nn.log_softmax(jnp.where(counted, -squares / (_NEAR * 2 * size), nobody))
    return -jnp.sum(jnp.where(counted, wanted * told, 0))


def tilt(volume: Float[Array, "d d d"]) -> Float[Array, ""]:
    """Returns how far the faces of an object are from being parallel to the grid's planes.

    The mean of 3/2 (1 - sum_i n_i^4) over the object's surface, with n the direction of the
    gradient and its length as the weight: 0 where every normal is along an axis, 1 where every one
    is a diagonal of the cube, 0.6 for a ball. (Across an edge the gradient leans: a box of half the
    grid's side has 0.13 at 16^3, 0.06 at 64^3.) Of all functions on the sphere
    with the cube's symmetry, the sum is the lowest that is not constant (the cubic harmonic). A
    voxel without any gradient counts as a thousandth of one that is aligned with nothing, which for
    a small object in a large grid is much of the mean.
    """
    inner = slice(1, -1)
    gradient = [
        volume[2:, inner, inner] - volume[:-2, inner, inner],
        volume[inner, 2:, inner] - volume[inner, :-2, inner],
        volume[inner, inner, 2:] - volume[inner, inner, :-2],
    ]
    squares = jnp.stack([g**2 for g in gradient])
    square = jnp.sum(squares, axis=0) + _FLAT
    length = jnp.sqrt(square)
    aligned = jnp.sum(jnp.sum(squares**2, axis=0) / square**2 * length)
    return 1.5 * (1 - aligned / jnp.sum(length))
