"""The training step: two views of every object, the loss, and a data-parallel update."""

import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, UInt8

from rotdis import losses
from rotdis.data import order, resident
from rotdis.geometry import resample, so3
from rotdis.models.rotation_vae import Code, RotationVAE

AXIS = "data"  # the mesh axis over which examples are divided

Metrics = dict[str, Float[Array, ""]]
# The metrics that are terms of the loss; each model has some of them.
TERMS = ("reconstruction", "kl", "first_equivariance", "equivariance", "refinement", "tilt")


@flax.struct.dataclass
class TrainState:
    """Everything that a run is: with the configuration, it determines all that follows.

    Attributes:
        step: number of updates done.
        params: parameters, float32.
        ema_params: their exponential moving average, used for evaluation.
        opt_state: the optimizer's.
        frames: F of the training objects, x = rotate(c, F) with c the canonical form that x shall
            have, in the rows of `order.frame_stride`; zeros where there is none (`rotdis.frames`).
    """

    step: Int[Array, ""]
    params: optax.Params
    ema_params: optax.Params
    opt_state: optax.OptState
    frames: Float[Array, "m 3 3"]


def make_optimizer(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
    """AdamW with linear warm-up, cosine decay to zero and clipping by the global norm."""
    return optax.chain(
        optax.clip_by_global_norm(config.optimizer.clip_norm),
        optax.adamw(
            learning_rate_schedule(config),
            b2=config.optimizer.b2,
            weight_decay=config.optimizer.weight_decay,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
        ),
    )


def learning_rate_schedule(config: ml_collections.ConfigDict) -> optax.Schedule:
    """Returns the learning rate as a function of the step."""
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=config.optimizer.learning_rate,
        warmup_steps=config.optimizer.warmup_steps,
        decay_steps=config.train.steps,
    )


def init_state(model: RotationVAE, config: ml_collections.ConfigDict) -> TrainState:
    """Returns the state of a run that has not begun."""
    example = jnp.zeros((1, *(model.resolution,) * 3))
    params = jax.jit(model.init)(jax.random.key(config.seed), example)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema_params=jax.tree.map(jnp.copy, params),
        opt_state=make_optimizer(config).init(params),
        frames=jnp.zeros((config.frames.capacity, 3, 3)),
    )


def make_views(
    x: Float[Array, "b d d d"], keys: Array, rotations: str
) -> tuple[Float[Array, "2 b d d d"], Float[Array, "2 b 3 3"]]:
    """Returns two views of every object, each turned at random, and the rotations Q applied.

    `rotations` says from where they are drawn: "so3" (uniform), "cube" (the 24), or "none".
    """
    if rotations == "none":
        turns = jnp.broadcast_to(jnp.eye(3), (2, len(x), 3, 3))
        return jnp.broadcast_to(x, (2, *x.shape)), turns
    sample = {"so3": so3.random_uniform, "cube": so3.random_cube}[rotations]
    turns = jnp.swapaxes(jax.vmap(functools.partial(sample, shape=(2,)))(keys), 0, 1)
    turn_all = jax.vmap(resample.rotate)
    return jnp.stack([turn_all(x[..., None], turn)[..., 0] for turn in turns]), turns


def loss_and_metrics(
    params: optax.Params,
    model: RotationVAE,
    config: ml_collections.ConfigDict,
    x: Float[Array, "b d d d"],
    keys: Array,
    frames: Float[Array, "b 3 3"] | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the objective, a mean over examples and their two views, and its terms.

    With a pose network each view is decoded from the OTHER view's code, so that the code cannot
    hold the pose, and the relative rotation of the two views, which is known since we applied it,
    ties their poses together.

    Args:
        params: of the model.
        model: the model.
        config: the run's configuration.
        x: objects, in any orientation.
        keys: one random key per object.
        frames: of the objects, see `TrainState`; zeros, or None for all, where any will do.
    """
    view_keys, code_keys = jnp.swapaxes(jax.vmap(jax.random.split)(keys), 0, 1)
    search_keys = jnp.concatenate([view_keys, code_keys])  # one per view
    views, turns = make_views(x, view_keys, config.data.rotations)
    count = len(x)
    both = views.reshape(2 * count, *x.shape[1:])
    origin = (jnp.concatenate([x, x]), turns.reshape(2 * count, 3, 3))
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
    logits = model.apply({"params": params}, z, code.rotation, method="decode")

    reconstruction = jnp.mean(jax.vmap(losses.bernoulli_nll)(logits, both))
    kl = jnp.mean(jax.vmap(losses.gaussian_kl)(code.z_mean, code.z_logvar))
    loss = reconstruction + config.loss.kl_weight * kl
    metrics = {
        "reconstruction": reconstruction,
        "kl": kl,
        "sse": jnp.mean(jnp.sum((jax.nn.sigmoid(logits) - both) ** 2, axis=(1, 2, 3))),
    }
    if code.posterior is not None:
        product = functools.partial(jnp.matmul, precision="highest")
        # View 1 turned into view 2, and the reverse: R_2 should be Q_2 Q_1^T R_1.
        relative = product(turns[::-1], jnp.swapaxes(turns, -1, -2))
        rotation = code.rotation.reshape(2, count, 3, 3)
        targets = jax.lax.stop_gradient(product(relative, rotation)[::-1]).reshape(-1, 3, 3)
        tilt = jnp.mean(jax.vmap(losses.tilt)(canonical))
        loss += config.loss.tilt_weight * tilt
        weight, concentration = config.loss.equivariance_weight, config.loss.concentration
        for name, posterior in (
            ("first_equivariance", code.first),
            ("equivariance", code.posterior),
        ):
            if posterior is not None:
                metrics[name] = jnp.mean(
                    jax.vmap(losses.mixture_nll, in_axes=(0, 0, 0, None))(
                        posterior.log_weights, posterior.rotations, targets, concentration
                    )
                )
                loss += weight / concentration * metrics[name]
        refinement = jnp.mean(
            jax.vmap(losses.rotation_nll, in_axes=(0, 0, None))(
                code.rotation, targets, config.loss.refinement_concentration
            )
        )
        loss += weight / config.loss.refinement_concentration * refinement
        angles = jnp.rad2deg(so3.geodesic_distance(code.rotation, targets))
        weights = jnp.exp(code.posterior.log_weights)
        if frames is not None:
            known = jnp.any(frames != 0, axis=(-2, -1))
            wanted = product(turns, frames).reshape(-1, 3, 3)
            found, more = _frame_terms(code, wanted, jnp.tile(known, 2), concentration)
            loss += weight / concentration * found
            metrics |= more
        metrics |= {
            "tilt": tilt,
            "refinement": refinement,
            "pair_acc15": jnp.mean(angles < 15),
            "pose_perplexity": jnp.mean(
                jnp.exp(-jnp.sum(weights * code.posterior.log_weights, axis=1))
            ),
        }
    return loss, metrics | {"loss": loss}


def _frame_terms(
    code: Code, wanted: Float[Array, "b 3 3"], known: Bool[Array, " b"], concentration: float
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the negative log-likelihood of the frames that are known, and how many are met."""

    def mean(values):
        return jnp.mean(jnp.where(known, values, 0))

    nll = sum(
        mean(
            jax.vmap(losses.mixture_nll, in_axes=(0, 0, 0, None))(
                posterior.log_weights, posterior.rotations, wanted, concentration
            )
        )
        for posterior in (code.first, code.posterior)
        if posterior is not None
    )
    met = so3.geodesic_distance(code.rotation, wanted) < jnp.deg2rad(15)
    return nll, {"frame": nll, "frame_acc15": mean(met)}


def device_gradients(
    params: optax.Params,
    packed: UInt8[Array, "b bytes"],
    step: Int[Array, ""],
    frames: Float[Array, "b 3 3"] | None = None,
    *,
    model: RotationVAE,
    config: ml_collections.ConfigDict,
) -> tuple[optax.Params, Metrics]:
    """Returns gradients and metrics, averaged over the devices of the axis `AXIS`.

    The per-device function, in pmap style: `packed` and `frames` (see `loss_and_metrics`) are this
    device's slice of the global batch. Runs under `jax.shard_map` and under `jax.pmap` alike.
    """
    x = resident.unpack(packed, config.data.resolution, config.data.partial)
    # Keys follow an example's place in the global batch, whatever the number of devices.
    place = jax.lax.axis_index(AXIS) * len(x) + jnp.arange(len(x))
    key = jax.random.fold_in(jax.random.key(config.seed + 1), step)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(place)
    # Without the cast, the gradient of replicated parameters is already a sum over devices, and
    # the mean below would return it N times too large.
    params = jax.lax.pcast(params, AXIS, to="varying")
    gradients, metrics = jax.grad(loss_and_metrics, has_aux=True)(
        params, model, config, x, keys, frames
    )
    return jax.lax.pmean((gradients, metrics), AXIS)


def apply_gradients(
    state: TrainState, gradients: optax.Params, config: ml_collections.ConfigDict
) -> tuple[TrainState, Metrics]:
    """Returns the next state, with the gradient's norm and the learning rate as metrics."""
    updates, opt_state = make_optimizer(config).update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    # The average would remember the random start for long: its horizon grows with the steps done.
    decay = jnp.minimum(config.train.ema_decay, (1 + state.step) / (10 + state.step))
    ema_params = optax.incremental_update(params, state.ema_params, 1 - decay)
    metrics = {
        "gradient_norm": optax.global_norm(gradients),
        "learning_rate": jnp.asarray(learning_rate_schedule(config)(state.step)),
    }
    state = state.replace(
        step=state.step + 1, params=params, ema_params=ema_params, opt_state=opt_state
    )
    return state, metrics


def frames_of(
    index: Int[Array, " b"], frames: Float[Array, "m 3 3"], num_objects: int
) -> Float[Array, "b 3 3"]:
    """Returns the frames of some of the training objects, zeros for those without a row."""
    stride = order.frame_stride(num_objects, len(frames))
    return jnp.where((index % stride == 0)[:, None, None], frames[index // stride], 0)


def frames_are_used(config: ml_collections.ConfigDict) -> bool:
    """Returns whether a run finds frames of its training objects, and has use for them."""
    return config.pose.method == "mixture" and len(config.frames.synchronize_at) > 0


def make_train_step(
    model: RotationVAE,
    config: ml_collections.ConfigDict,
    mesh: Mesh,
    num_objects: int | None = None,
) -> Callable[[TrainState, UInt8[Array, "b bytes"]], tuple[TrainState, Metrics]]:
    """Returns the step on a global batch whose rows are divided over the mesh; jit it.

    `resident.draw` or the tf.data pipeline supplies the batch, that of `order.batch_indices`.

    Args:
        model: the model.
        config: the run's configuration.
        mesh: of devices.
        num_objects: size of the training split, by which an object's row in `TrainState.frames` is
            known; None where the frames are not used.
    """
    use_frames = num_objects is not None and frames_are_used(config)
    gradients_on_mesh = jax.shard_map(
        functools.partial(device_gradients, model=model, config=config),
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(AXIS), PartitionSpec(), PartitionSpec(AXIS)),
        out_specs=PartitionSpec(),
    )

    def train_step(
        state: TrainState, packed: UInt8[Array, "b bytes"]
    ) -> tuple[TrainState, Metrics]:
        frames = None
        if use_frames:
            index = order.batch_indices(config.seed, state.step, num_objects, len(packed))
            frames = frames_of(index, state.frames, num_objects)
        packed, frames = jax.lax.with_sharding_constraint(
            (packed, frames), NamedSharding(mesh, PartitionSpec(AXIS))
        )
        gradients, metrics = gradients_on_mesh(state.params, packed, state.step, frames)
        state, more = apply_gradients(state, gradients, config)
        return state, metrics | more

    return train_step


def repeat(
    train_step: Callable[..., tuple[TrainState, Metrics]], most: int
) -> Callable[..., tuple[TrainState, Metrics]]:
    """Returns a function that does several steps as one program; jit it.

    The host is not asked in between, and the memory of a step is that of the one before: on a CPU
    that alone makes a step a tenth to a sixth faster. How many steps is an argument of the program,
    so that each is the same arithmetic, to the bit, however they are divided among calls.

    Args:
        train_step: (state, *data) -> (state, metrics).
        most: how many steps there is room for.

    Returns:
        A function (state, count, *data) -> (state, metrics), each metric with one entry a step;
        those behind `count` are zero.
    """
    train_step = jax.jit(train_step)  # traced once for both uses below

    def run(state: TrainState, count: Int[Array, ""], *data: Array) -> tuple[TrainState, Metrics]:
        def add_step(index, carry):
            state, history = carry
            state, metrics = train_step(state, *data)
            history = jax.tree.map(lambda every, one: every.at[index].set(one), history, metrics)
            return state, history

        _, metrics = jax.eval_shape(train_step, state, *data)
        history = jax.tree.map(lambda one: jnp.zeros((most, *one.shape), one.dtype), metrics)
        return jax.lax.fori_loop(0, count, add_step, (state, history))

    return run
