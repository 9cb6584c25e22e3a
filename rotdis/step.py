"""The training step: gradients of the objective on every device, and a data-parallel update."""

import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt8

from rotdis.data import order, resident
from rotdis.models.rotation_vae import POSE_NETWORKS, RotationVAE
from rotdis.objective import Metrics, loss_and_metrics
from rotdis.synchronize import alikeness

AXIS = "data"  # the mesh axis over which examples are divided


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
        alike: in the same rows, coordinates whose products tell how alike two objects are; zeros
            where not known, and None where the loss has no use for them.
    """

    step: Int[Array, ""]
    params: optax.Params
    ema_params: optax.Params
    opt_state: optax.OptState
    frames: Float[Array, "m 3 3"]
    alike: Float[Array, "m k"] | None = None


def make_optimizer(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
    """AdamW with linear warm-up, cosine decay to zero and clipping by the global norm."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.optimizer.clip_norm),
        optax.adamw(
            learning_rate_schedule(config),
            b2=config.optimizer.b2,
            weight_decay=config.optimizer.weight_decay,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
        ),
    )
    if config.train.hold_pose:  # from weight decay as well
        held = optax.masked(
            optax.set_to_zero(), lambda params: {name: name in POSE_NETWORKS for name in params}
        )
        optimizer = optax.chain(optimizer, held)
    return optimizer


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
    params = _initialize(model, jax.random.key(config.seed), example)["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        ema_params=jax.tree.map(jnp.copy, params),
        opt_state=make_optimizer(config).init(params),
        frames=jnp.zeros((config.frames.capacity, 3, 3)),
        alike=jnp.zeros((config.frames.capacity, alikeness.COORDINATES))
        if config.loss.alike_weight > 0
        else None,
    )


_initialize = jax.jit(  # traced once for all states of a model
    lambda model, key, example: model.init(key, example), static_argnums=0
)


def start_from(state: TrainState, params: optax.Params) -> TrainState:
    """Returns the state of a run that has not begun, with the parameters of a trained model.

    A network that this one lacks keeps its random ones. Where its decoder does not draw the
    canonical form at full resolution, that begins with logits of zero, so that what is decoded is
    at first what the trained one decodes, but where the turned grid ends.
    """
    decoder = state.params["decoder"]
    if "form" in decoder and "form" not in params["decoder"]:
        nothing = jax.tree.map(jnp.zeros_like, decoder["form"])
        params = {**params, "decoder": {**params["decoder"], "form": nothing}}
    params = {**state.params, **params}
    copies = [jax.tree.map(jnp.copy, params) for _ in range(2)]  # the step donates each by itself
    return state.replace(params=copies[0], ema_params=copies[1])


def device_gradients(
    params: optax.Params,
    packed: UInt8[Array, "b bytes"],
    step: Int[Array, ""],
    frames: Float[Array, "b 3 3"] | None = None,
    alike: Float[Array, "b k"] | None = None,
    *,
    model: RotationVAE,
    config: ml_collections.ConfigDict,
) -> tuple[optax.Params, Metrics]:
    """Returns gradients and metrics, averaged over the devices of the axis `AXIS`.

    The per-device function, in pmap style: `packed`, `frames` and `alike` are this device's slice
    of the global batch. Runs under `jax.shard_map` and under `jax.pmap` alike.
    """
    x = resident.unpack(packed, config.data.resolution, config.data.partial)
    # Keys follow an example's place in the global batch, whatever the number of devices.
    place = jax.lax.axis_index(AXIS) * len(x) + jnp.arange(len(x))
    key = jax.random.fold_in(jax.random.key(config.seed + 1), step)
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(place)
    # Without the cast, the gradient of replicated parameters is already a sum over devices, and
    # the mean below would return it N times too large.
    params = jax.lax.pcast(params, AXIS, to="varying")
    as_used = None
    if config.train.as_used > 0:
        as_used = step >= round((1 - config.train.as_used) * config.train.steps)
    gradients, metrics = jax.grad(loss_and_metrics, has_aux=True)(
        params, model, config, x, keys, frames, alike, AXIS, as_used
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
    average = optax.incremental_update(params, state.ema_params, 1 - decay)
    # What is held stays to the last bit; an average of equals is off by rounding.
    ema_params = jax.tree.map(
        lambda new, old, mean: jnp.where(new == old, old, mean), params, state.ema_params, average
    )
    metrics = {
        "gradient_norm": optax.global_norm(gradients),
        "learning_rate": jnp.asarray(learning_rate_schedule(config)(state.step)),
    }
    state = state.replace(
        step=state.step + 1, params=params, ema_params=ema_params, opt_state=opt_state
    )
    return state, metrics


def rows_of(
    index: Int[Array, " b"], table: Float[Array, "m ..."], num_objects: int
) -> Float[Array, "b ..."]:
    """Returns the rows of some of the training objects, zeros for those that have none."""
    stride = order.frame_stride(num_objects, len(table))
    has_row = (index % stride == 0).reshape(-1, *(1,) * (table.ndim - 1))
    return jnp.where(has_row, table[index // stride], 0)


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
    everywhere, divided = PartitionSpec(), PartitionSpec(AXIS)
    gradients_on_mesh = jax.shard_map(
        functools.partial(device_gradients, model=model, config=config),
        mesh=mesh,
        in_specs=(everywhere, divided, everywhere, divided, divided),
        out_specs=everywhere,
    )

    def train_step(
        state: TrainState, packed: UInt8[Array, "b bytes"]
    ) -> tuple[TrainState, Metrics]:
        tables = (None, None)
        if use_frames:
            index = order.batch_indices(config.seed, state.step, num_objects, len(packed))
            tables = jax.tree.map(
                lambda table: rows_of(index, table, num_objects), (state.frames, state.alike)
            )
        packed, tables = jax.lax.with_sharding_constraint(
            (packed, tables), NamedSharding(mesh, divided)
        )
        gradients, metrics = gradients_on_mesh(state.params, packed, state.step, *tables)
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
