"""Pose by search, the baseline: try rotations on the VAE itself, keep the one of lowest loss.

Stands in the pose network's place, between a view and its canonical form. What is searched is a
function of objects and rotations, and this module does not know the networks behind it. The affine
VAE of Bidart's research notes (2020).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from rotdis import losses
from rotdis.geometry import batching, so3

# (arrays with a leading axis of N objects, rotations) -> nats.
NegativeElbo = Callable[[PyTree[Array], Float[Array, "n 3 3"]], Float[Array, " n"]]

# Pairs of object and rotation that are evaluated at once. On two CPU cores 16 to 128 were equally
# fast, 8 and 256 slower; accelerators, where it was not measured, want larger arrays.
_CHUNK_CPU = 32
_CHUNK = 512

# Adam's b1. With the usual 0.9 twenty steps end while it still swings: 3 degrees from the minimum
# of a smooth landscape instead of 0.03, and at higher losses of a trained model.
_MOMENTUM = 0.5


class SearchSettings(NamedTuple):
    """How rotations are searched; the defaults are the notes'.

    Attributes:
        rotations: "cube", the 24 rotations of the cube, all of them; or "so3".
        restarts: uniformly random rotations that are tried.
        refined: how many of these, the best, are refined.
        steps: of Adam on each of them.
        learning_rate: of Adam, in radians: about how far each step turns, about every axis.
        chunk: at most so many pairs of object and rotation are evaluated at once, which bounds the
            memory; None takes what suits the backend.
    """

    rotations: str
    restarts: int = 32
    refined: int = 8
    steps: int = 20
    # On a trained model 0.1 to 0.3 found the same losses within 0.3 %, 0.02 2 % higher ones.
    learning_rate: float = 0.15
    chunk: int | None = None


def make_negative_elbo(
    params: PyTree[Array],
    canonicalize: Callable,
    encode: Callable,
    decode: Callable,
    kl_weight: float = 1.0,
) -> NegativeElbo:
    """Returns the function that is searched: what the training minimizes, with z at its mean.

    Always of x against the decoder's output AT that rotation, as the model is trained and used. The
    loss in the canonical frame would be another one, even where the rotation is an exact
    permutation: the decoder convolves after it turns.

    Args:
        params: of encoder and decoder. Their gradient stops here: one that passed through the
            search, if only to be discarded behind it, would multiply its cost.
        canonicalize: (x, rotation, origin) -> canonical forms, as `rotation_vae.canonicalize`.
        encode: (params, canonical forms) -> mean and log-variance of z.
        decode: (params, z, rotation) -> logits.
        kl_weight: of the KL in the training.

    Returns:
        A function of ((x, origin), rotation), with origin as in `RotationVAE.infer`.
    """
    params = jax.lax.stop_gradient(params)

    def negative_elbo(objects, rotation):
        x, origin = objects
        mean, logvar = encode(params, canonicalize(x, rotation, origin))
        reconstruction = jax.vmap(losses.bernoulli_nll)(decode(params, mean, rotation), x)
        return reconstruction + kl_weight * jax.vmap(losses.gaussian_kl)(mean, logvar)

    return negative_elbo


def search(
    negative_elbo: NegativeElbo, objects: PyTree[Array], keys: Array, settings: SearchSettings
) -> Float[Array, "b 3 3"]:
    """Returns the rotation of lowest negative ELBO found for every object, as `settings` say.

    Arguments as in `search_so3`. The result has no gradient, to parameters or anything else.
    """
    if settings.rotations == "cube":
        return search_cube(negative_elbo, objects, settings.chunk)
    return search_so3(negative_elbo, objects, keys, settings)


def search_cube(
    negative_elbo: NegativeElbo, objects: PyTree[Array], chunk: int | None = None
) -> Float[Array, "b 3 3"]:
    """Returns the best of the cube's 24 rotations for every object, the first of equal ones.

    Args:
        negative_elbo: what is minimized.
        objects: arrays with a leading axis of B objects.
        chunk: at most so many of the 24 B pairs are evaluated at once; see `SearchSettings`.
    """
    count = len(jax.tree.leaves(objects)[0])
    rotations = jnp.broadcast_to(so3.cube_group(), (count, 24, 3, 3))
    values = _on_pairs(negative_elbo, objects, rotations, chunk)
    return jax.lax.stop_gradient(_pick(rotations, values))


def search_so3(
    negative_elbo: NegativeElbo, objects: PyTree[Array], keys: Array, settings: SearchSettings
) -> Float[Array, "b 3 3"]:
    """Returns the best rotation that random restarts and Adam on the best of them come across.

    Never worse than the best restart. An object's result depends on the object and its key alone,
    not on the batch that it is in.

    Args:
        negative_elbo: what is minimized; differentiated with respect to the rotation.
        objects: arrays with a leading axis of B objects.
        keys: one random key per object. Equal keys give equal restarts.
        settings: how many restarts, and what is done with them.
    """
    restarts = jax.vmap(lambda key: so3.random_uniform(key, (settings.restarts,)))(keys)
    values = _on_pairs(negative_elbo, objects, restarts, settings.chunk)
    values, chosen = jax.lax.top_k(-values, settings.refined)
    starts = jnp.take_along_axis(restarts, chosen[..., None, None], axis=1)

    def descend(objects, starts):
        return refine(negative_elbo, objects, starts, settings.steps, settings.learning_rate)

    refined, values = _on_pairs(descend, objects, starts, settings.chunk)
    return jax.lax.stop_gradient(_pick(refined, values))


def refine(
    negative_elbo: NegativeElbo,
    objects: PyTree[Array],
    start: Float[Array, "n 3 3"],
    steps: int,
    learning_rate: float,
) -> tuple[Float[Array, "n 3 3"], Float[Array, " n"]]:
    """Returns the best rotation on Adam's way from every start, and its negative ELBO.

    Each step is R <- R exp(w), with w = 0 where its gradient is taken: there the chart is never
    near its singularity at half a turn, and w, which turns the canonical form, means the same
    whatever the object's orientation. Adam's moments go from chart to chart unchanged.

    Args:
        negative_elbo: what is minimized; differentiated with respect to the rotation.
        objects: arrays with a leading axis of N objects.
        start: where each begins.
        steps: of Adam.
        learning_rate: of Adam, in radians.
    """
    adam = optax.adam(learning_rate, b1=_MOMENTUM)

    def total(vector, rotation):
        values = negative_elbo(objects, _turn(rotation, vector))
        return jnp.sum(values), values

    def descend(carry, _):
        rotation, moments, best, lowest = carry
        zero = jnp.zeros_like(rotation[..., 0])
        gradient, values = jax.grad(total, has_aux=True)(zero, rotation)
        best, lowest = _lower(best, lowest, rotation, values)
        vector, moments = adam.update(gradient, moments)
        return (_turn(rotation, vector), moments, best, lowest), None

    lowest = jnp.full_like(start[..., 0, 0], jnp.inf)
    carry = (start, adam.init(jnp.zeros_like(start[..., 0])), start, lowest)
    (last, _, best, lowest), _ = jax.lax.scan(descend, carry, length=steps)
    return _lower(best, lowest, last, negative_elbo(objects, last))


def _turn(rotation: Float[Array, "n 3 3"], vector: Float[Array, "n 3"]) -> Float[Array, "n 3 3"]:
    return jnp.matmul(rotation, so3.from_rotation_vector(vector), precision="highest")


def _lower(best, lowest, rotation, values):
    """Returns the better of two rotations and its value; of equal ones, or NaN, the first."""
    better = values < lowest
    return jnp.where(better[:, None, None], rotation, best), jnp.where(better, values, lowest)


def _pick(rotations: Float[Array, "b h 3 3"], values: Float[Array, "b h"]) -> Float[Array, "b 3 3"]:
    index = jnp.argmin(values, axis=1)
    return jnp.take_along_axis(rotations, index[:, None, None, None], axis=1)[:, 0]


def _on_pairs(
    function: Callable[[PyTree[Array], Float[Array, "n 3 3"]], PyTree[Array]],
    objects: PyTree[Array],
    rotations: Float[Array, "b h 3 3"],
    chunk: int | None,
) -> PyTree[Array]:
    """Applies `function` to every object with each of its rotations, so many pairs at a time."""
    pairs = rotations.shape[:2]
    if chunk is None:
        chunk = _CHUNK_CPU if jax.default_backend() == "cpu" else _CHUNK
    size = batching.largest_divisor(pairs[0] * pairs[1], chunk)
    owners = jnp.repeat(jnp.arange(pairs[0]), pairs[1]).reshape(-1, size)

    def of_chunk(arrays):
        owner, rotation = arrays
        return function(jax.tree.map(lambda array: jnp.asarray(array)[owner], objects), rotation)

    results = jax.lax.map(of_chunk, (owners, rotations.reshape(-1, size, 3, 3)))
    return jax.tree.map(lambda array: array.reshape(*pairs, *array.shape[2:]), results)
