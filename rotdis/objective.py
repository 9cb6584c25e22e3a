"""The objective: two views of every object, what the model makes of them, and the loss of it."""

import functools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from rotdis import losses, stretch
from rotdis.config import base_config
from rotdis.geometry import resample, so3
from rotdis.models.pose import PosePosterior
from rotdis.models.rotation_vae import POSE_NETWORKS, Code, RotationVAE

_AGREE = np.deg2rad(15)  # poses that differ by less

Metrics = dict[str, Float[Array, ""]]


def term_weights(config: ml_collections.ConfigDict) -> dict[str, float]:
    """Returns what each term counts in the objective, a weighted sum; a model has some of them."""
    loss = config.loss
    pair = loss.equivariance_weight / loss.concentration
    return {
        "reconstruction": 1.0,
        "kl": loss.kl_weight,
        "pose_kl": loss.kl_weight,
        "tilt": loss.tilt_weight,
        "first_equivariance": pair,
        "second_equivariance": pair,
        "equivariance": pair,
        "refinement": loss.equivariance_weight / loss.refinement_concentration,
        "frame": pair,
        "alike": loss.alike_weight,
    }


TERMS = tuple(term_weights(base_config()))

_product = functools.partial(jnp.matmul, precision="highest")


def make_views(
    x: Float[Array, "b d d d"],
    keys: Array,
    rotations: str,
    stretched: Float[Array, "b 3 3"] | None = None,
) -> tuple[Float[Array, "2 b d d d"], Float[Array, "2 b 3 3"]]:
    """Returns two views of every object, each turned at random, and the rotations Q applied.

    `rotations` says from where they are drawn: "so3" (uniform), "cube" (the 24), or "none".
    Objects are stretched before by `stretch.draw`'s matrices, if there are any.
    """
    if rotations == "none":
        turns = jnp.broadcast_to(jnp.eye(3), (2, len(x), 3, 3))
        if stretched is None:
            return jnp.broadcast_to(x, (2, *x.shape)), turns
    else:
        sample = {"so3": so3.random_uniform, "cube": so3.random_cube}[rotations]
        turns = jnp.swapaxes(jax.vmap(functools.partial(sample, shape=(2,)))(keys), 0, 1)
    turn_all = jax.vmap(resample.rotate)
    applied = turns if stretched is None else _product(turns, stretched)
    return jnp.stack([turn_all(x[..., None], each)[..., 0] for each in applied]), turns


def loss_and_metrics(
    params: optax.Params,
    model: RotationVAE,
    config: ml_collections.ConfigDict,
    x: Float[Array, "b d d d"],
    keys: Array,
    frames: Float[Array, "b 3 3"] | None = None,
    alike: Float[Array, "b k"] | None = None,
    axis: str | None = None,
    as_used: Bool[Array, ""] | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the objective and its terms, means over examples and their two views.

    It is their sum, weighed by `term_weights`. With a pose network each view is decoded from the
    OTHER view's code, so that the code cannot hold the pose, and the relative rotation of the two
    views, which is known since we applied it, ties their poses together.

    Args:
        params: of the model.
        model: the model.
        config: the run's configuration.
        x: objects, in any orientation.
        keys: one random key per object.
        frames: of the objects, see `TrainState`; zeros, or None for all, where any will do.
        alike: what tells how alike the objects are, see `TrainState`; zeros where it is not known.
        axis: over which the batch is divided among devices, if it is.
        as_used: whether what is turned back for the networks to see is the views themselves, as in
            use, rather than the objects (`origin` of `RotationVAE.infer`); None where it never is.
    """
    if config.train.hold_pose:
        held = {name: params[name] for name in POSE_NETWORKS if name in params}
        params = params | jax.lax.stop_gradient(held)
    view_keys, code_keys = jnp.swapaxes(jax.vmap(jax.random.split)(keys), 0, 1)
    # One per view, and none that the views are turned by: a search would start from the answer.
    search_keys = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, 2)))(view_keys)
    search_keys = jnp.swapaxes(search_keys, 0, 1).reshape(-1)
    stretched = None
    if frames is not None and config.frames.stretch > 0:
        stretch_keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(view_keys)
        draw = functools.partial(stretch.draw, amount=config.frames.stretch)
        stretched = jax.vmap(draw)(x, stretch_keys, frames)
    views, turns = make_views(x, view_keys, config.data.rotations, stretched)
    count = len(x)
    both = views.reshape(2 * count, *x.shape[1:])
    applied = turns if stretched is None else _product(turns, stretched)
    origin = (jnp.concatenate([x, x]), applied.reshape(2 * count, 3, 3))
    if as_used is not None:
        origin = (jnp.where(as_used, both, origin[0]), jnp.where(as_used, jnp.eye(3), origin[1]))
    code, canonical = model.apply(
        {"params": params},
        both,
        training=True,
        origin=origin,
        keys=search_keys,
        method="infer",
    )
    noise = jax.vmap(lambda key: jax.random.normal(key, (2, model.latent_size)))(code_keys)
    noise = jnp.swapaxes(noise, 0, 1).reshape(code.z_mean.shape)
    z = code.z_mean + jnp.exp(0.5 * code.z_logvar) * noise
    if code.posterior is not None and config.loss.swap_codes:
        z = jnp.roll(z, count, axis=0)
    targets, agree = None, None
    if code.posterior is not None:
        targets = _targets(code.rotation, turns)
        agree = so3.geodesic_distance(code.rotation, targets) < _AGREE
    logits = model.apply({"params": params}, z, code.rotation, agree, method="decode")

    metrics = {
        "reconstruction": jnp.mean(jax.vmap(losses.bernoulli_nll)(logits, both)),
        "kl": jnp.mean(jax.vmap(losses.gaussian_kl)(code.z_mean, code.z_logvar)),
        "sse": jnp.mean(jnp.sum((jax.nn.sigmoid(logits) - both) ** 2, axis=(1, 2, 3))),
    }
    if code.posterior is not None:
        metrics |= _pose_terms(code, targets, config) | {"pair_acc15": jnp.mean(agree)}
        metrics["tilt"] = jnp.mean(jax.vmap(losses.tilt)(canonical))
        if frames is not None:
            metrics |= _frame_terms(code, turns, frames, config)
        if alike is not None:
            metrics["alike"] = _neighbours_nll(code.z_mean.reshape(2, count, -1), alike, axis)
    weights = term_weights(config)
    loss = sum(weights[name] * metrics[name] for name in weights if name in metrics)
    return loss, metrics | {"loss": loss}


def _targets(
    rotation: Float[Array, "n 3 3"], turns: Float[Array, "2 b 3 3"]
) -> Float[Array, "n 3 3"]:
    """Returns the pose of each view that the other one's makes it have, without a gradient."""
    # View 1 turned into view 2, and the reverse: R_2 should be Q_2 Q_1^T R_1.
    relative = _product(turns[::-1], jnp.swapaxes(turns, -1, -2))
    other = rotation.reshape(turns.shape)
    return jax.lax.stop_gradient(_product(relative, other)[::-1]).reshape(-1, 3, 3)


def _pose_terms(
    code: Code, targets: Float[Array, "n 3 3"], config: ml_collections.ConfigDict
) -> Metrics:
    """Returns what ties the poses of two views to their relative rotation."""
    earlier = ("first_equivariance", "second_equivariance")[: len(code.earlier)]
    posteriors = zip((*earlier, "equivariance"), (*code.earlier, code.posterior), strict=True)
    refinement = jax.vmap(losses.rotation_nll, in_axes=(0, 0, None))(
        code.rotation, targets, config.loss.refinement_concentration
    )
    log_weights = code.posterior.log_weights
    entropy = -jnp.sum(jnp.exp(log_weights) * log_weights, axis=1)
    return {
        "pose_kl": jnp.mean(jax.vmap(losses.uniform_kl)(log_weights)),
        **{
            name: jnp.mean(_mixtures_nll(posterior, targets, config.loss.concentration))
            for name, posterior in posteriors
        },
        "refinement": jnp.mean(refinement),
        "pose_perplexity": jnp.mean(jnp.exp(entropy)),
    }


def _frame_terms(
    code: Code,
    turns: Float[Array, "2 b 3 3"],
    frames: Float[Array, "b 3 3"],
    config: ml_collections.ConfigDict,
) -> Metrics:
    """Returns the negative log-likelihood of the frames that are known, and how many are met.

    Both are means over all objects, of which those without a known frame count as 0.
    """
    known = jnp.tile(jnp.any(frames != 0, axis=(-2, -1)), 2)
    wanted = _product(turns, frames).reshape(-1, 3, 3)

    def mean(values):
        return jnp.mean(jnp.where(known, values, 0))

    nll = sum(
        mean(_mixtures_nll(posterior, wanted, config.loss.concentration))
        for posterior in (*code.earlier, code.posterior)
    )
    met = so3.geodesic_distance(code.rotation, wanted) < _AGREE
    return {"frame": nll, "frame_acc15": mean(met)}


def _mixtures_nll(
    posterior: PosePosterior, rotations: Float[Array, "b 3 3"], concentration: float
) -> Float[Array, " b"]:
    return jax.vmap(losses.mixture_nll, in_axes=(0, 0, 0, None))(
        posterior.log_weights, posterior.rotations, rotations, concentration
    )


def _neighbours_nll(
    codes: Float[Array, "2 b l"], alike: Float[Array, "b k"], axis: str | None
) -> Float[Array, ""]:
    """Returns the mean of `losses.neighbour_nll`; others are seen from the other side."""
    others, theirs, first = codes[::-1], alike, 0
    if axis is not None:  # others are those of the whole batch, however it is divided
        others = jax.lax.all_gather(others, axis, axis=1, tiled=True)
        theirs = jax.lax.all_gather(alike, axis, axis=0, tiled=True)
        first = jax.lax.axis_index(axis) * len(alike)
    known, theirs_known = jnp.any(alike != 0, axis=-1), jnp.any(theirs != 0, axis=-1)
    itself = first + jnp.arange(len(alike))[:, None] == jnp.arange(len(theirs))
    counted = known[:, None] & theirs_known & ~itself
    squares = jnp.sum((codes[:, :, None] - others[:, None]) ** 2, axis=-1)
    alikeness = jnp.matmul(alike, theirs.T, precision="highest")
    per_object = jax.vmap(losses.neighbour_nll, in_axes=(0, 0, 0, None))
    return jnp.mean(
        jax.vmap(per_object, in_axes=(0, None, None, None))(
            squares, alikeness, counted, codes.shape[-1]
        )
    )
