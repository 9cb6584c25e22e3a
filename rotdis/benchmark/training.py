"""The training step: as a whole, by stages, and what of it is spent on rotating volumes."""

import functools
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import AxisType

from rotdis import objective, step
from rotdis.benchmark import flops, rotation, timing
from rotdis.data import resident
from rotdis.geometry import resample, so3
from rotdis.models import rotation_vae

_OBJECTS = 256  # random ones: the time does not depend on what they look like
_OCCUPANCY = 0.05


class Stage(NamedTuple):
    """A part of the step, compiled by itself: its seconds, and its operations (0: not counted)."""

    name: str
    seconds: float
    flops: float


class Training(NamedTuple):
    """The training step.

    Attributes:
        views: of a step.
        seconds: of a step, as it is trained once frames are known, where they are used:
            `config.train.steps_per_call` in one program.
        single_seconds: of a step that is a program by itself, as the stages are.
        flops: of a step, by XLA's cost analysis; 0 for the search, whose loops it counts once.
        stages: its parts; backward and update are differences of two times.
        rotating: the stages that turn whole volumes, forward and backward; not what `pose.grid`
            is for, which is smaller.
        matrix_share: of the time of its operations, in matrix products; see `flops.matrix_share`.
        compile_seconds: of these steps.
        temporary_bytes: of memory that it takes besides its arguments and results.
    """

    views: int
    seconds: float
    single_seconds: float
    flops: float
    stages: list[Stage]
    rotating: list[Stage]
    matrix_share: float | None
    compile_seconds: float
    temporary_bytes: int


def random_objects(config: ml_collections.ConfigDict, count: int) -> np.ndarray:
    """Returns packed random voxels, (count, bytes) uint8."""
    random = np.random.default_rng(0)
    voxels = random.random((count, config.data.resolution**3)) < _OCCUPANCY
    return 255 * voxels.astype(np.uint8) if config.data.partial else np.packbits(voxels, axis=1)


def _packed(config: ml_collections.ConfigDict) -> jax.Array:
    """Returns what the step draws from: some objects, as many as a batch has at least."""
    return jnp.asarray(random_objects(config, max(_OBJECTS, config.train.batch_size)))


def run(config: ml_collections.ConfigDict, seconds: float) -> Training:
    """Times the step of a configuration.

    Args:
        config: a validated configuration.
        seconds: at least so long for the stages, and as long for the rotations.
    """
    mesh = jax.make_mesh((1,), (step.AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:1])
    model = rotation_vae.create(config)
    state = step.init_state(model, config)
    packed = _packed(config)
    state = _with_frames(state)
    train_step = step.make_train_step(model, config, mesh, len(packed))

    def whole(state, packed):
        return train_step(
            state, resident.draw(packed, config.seed, state.step, config.train.batch_size)
        )

    per_call = config.train.steps_per_call
    start = time.perf_counter()
    several = jax.jit(step.repeat(whole, per_call)).lower(state, per_call, packed).compile()
    compile_seconds = time.perf_counter() - start
    memory = several.memory_analysis()

    parts = _parts(config, model, state, packed)
    functions = {name: functools.partial(jax.jit(f), *args) for name, (f, *args) in parts.items()}
    functions["step"] = functools.partial(jax.jit(whole), state, packed)
    functions["several"] = functools.partial(several, state, per_call, packed)
    times = timing.interleave(functions, seconds)
    countable = config.pose.method != "search"
    operations = {name: flops.count(*part) if countable else 0.0 for name, part in parts.items()}
    forward, gradient = (Stage(n, times[n], operations[n]) for n in ("forward", "gradient"))
    stages = [
        Stage(name, times[name], operations[name])
        for name in parts
        if name not in ("forward", "gradient")
    ]
    stages += [
        Stage("backward", gradient.seconds - forward.seconds, gradient.flops - forward.flops),
        Stage("update", times["step"] - gradient.seconds, 0.0),
    ]
    return Training(
        views=2 * config.train.batch_size,
        seconds=times["several"] / per_call,
        single_seconds=times["step"],
        flops=gradient.flops,
        stages=stages,
        rotating=_rotating(config, seconds),
        matrix_share=flops.matrix_share(several, functions["several"]),
        compile_seconds=compile_seconds,
        temporary_bytes=memory.temp_size_in_bytes if memory else 0,
    )


def _parts(
    config: ml_collections.ConfigDict,
    model: rotation_vae.RotationVAE,
    state: step.TrainState,
    packed: jax.Array,
) -> dict[str, tuple]:
    """Returns the step's parts, each a function and its arguments, and the whole gradient."""
    count, params, known = config.train.batch_size, state.params, ()
    if step.frames_are_used(config):
        index = jnp.arange(count)
        tables = (state.frames, state.alike)
        known = jax.tree.map(lambda table: step.rows_of(index, table, len(packed)), tables)
    x = resident.unpack(packed[:count], config.data.resolution, config.data.partial)
    keys = jax.random.split(jax.random.key(0), count)
    views, turns = objective.make_views(x, keys, config.data.rotations)
    views, turns = views.reshape(2 * count, *x.shape[1:]), turns.reshape(2 * count, 3, 3)
    z = jnp.zeros((2 * count, model.latent_size))

    def apply(method):
        return lambda params, *args: model.apply({"params": params}, *args, method=method)

    def loss(params, x, keys, *known):
        return objective.loss_and_metrics(params, model, config, x, keys, *known)

    parts: dict[str, tuple] = {
        "views": (lambda x, keys: objective.make_views(x, keys, config.data.rotations)[0], x, keys)
    }
    if config.pose.method == "mixture":
        parts["pose"] = (apply(lambda model, x: model.posteriors(x)), params, views)
        parts["canonicalize"] = (rotation_vae.canonicalize, views, turns)
    return parts | {
        "encode": (apply(lambda model, x: model.encoder(x)), params, views),
        "decode": (apply(lambda model, *args: model.decode(*args)), params, z, turns),
        "forward": (loss, params, x, keys, *known),
        "gradient": (jax.grad(loss, has_aux=True), params, x, keys, *known),
    }


def _with_frames(state: step.TrainState) -> step.TrainState:
    """Returns a state in which frames of all objects are known, and how alike they are."""
    random = jax.random.key(4)
    alike = state.alike if state.alike is None else jax.random.normal(random, state.alike.shape)
    frames = so3.random_uniform(random, state.frames.shape[:1])
    return state.replace(frames=frames, alike=alike)


def _rotating(config: ml_collections.ConfigDict, seconds: float) -> list[Stage]:
    """Times the step's rotations of whole volumes, each with the gradients that it needs."""
    if config.pose.method == "none":
        return []
    count, size = 2 * config.train.batch_size, config.data.resolution
    rotations = so3.random_uniform(jax.random.key(1), (count,))
    objects = jax.random.uniform(jax.random.key(2), (count, size, size, size, 1))
    side, channels = config.model.volume_size, config.model.volume_channels
    latent = jax.random.normal(jax.random.key(3), (count, side, side, side, channels))
    latent = latent.astype(config.model.dtype)
    passes = [
        ("views", "forward", objects),
        ("canonical forms", "forward+backward R", objects),
        ("latent volumes", "forward+backward", latent),
    ]
    if config.model.occupancy:
        passes.append(("drawn forms", "forward+backward", objects))
    functions = {
        name: functools.partial(
            rotation.make_pass(resample.rotate, what), volumes, rotations, volumes
        )
        for name, what, volumes in passes
    }
    times = timing.interleave(functions, seconds)
    return [Stage(name, times[name], 0.0) for name in functions]


def as_dict(training: Training) -> dict:
    """Returns it in terms that JSON has."""
    stages = {
        name: [stage._asdict() for stage in getattr(training, name)]
        for name in ("stages", "rotating")
    }
    return training._asdict() | stages | {"views_per_second": training.views / training.seconds}
