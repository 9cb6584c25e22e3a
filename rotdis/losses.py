"""The terms of the objective, each for one example and unreduced; `step` alone combines them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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
