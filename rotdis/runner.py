"""Between the training step and its loop: several steps as one call, on data from either loader."""

import time
from collections.abc import Callable, Iterator

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rotdis import distributed, step
from rotdis.data import resident
from rotdis.data.prepare import PreparedData
from rotdis.models import rotation_vae
from rotdis.objective import Metrics
from rotdis.step import TrainState

# (state, how many steps) -> state, metrics of each step, seconds for which data were waited for.
Runner = Callable[[TrainState, int], tuple[TrainState, Metrics, float]]


def make_runner(
    model: rotation_vae.RotationVAE,
    config: ml_collections.ConfigDict,
    mesh: Mesh,
    data: PreparedData,
    start: int,
) -> Runner:
    """Returns a function that does up to `steps_per_call` steps at once.

    Args:
        model: the model.
        config: the run's configuration.
        mesh: of devices, on which the state lies.
        data: the prepared data, of which the training split is used.
        start: the step at which it begins, for batches from the host.
    """
    train_step = step.make_train_step(model, config, mesh, len(data.train))
    if config.data.loader == "resident":
        packed = resident.place(data.train, mesh)

        def drawing_step(state, packed):
            batch = resident.draw(packed, config.seed, state.step, config.train.batch_size)
            return train_step(state, batch)

        draw_and_run = jax.jit(step.repeat(drawing_step, steps_per_call(config)), donate_argnums=0)
        return lambda state, count: (*draw_and_run(state, count, packed), 0.0)

    batches = _host_batches(config, data, start)
    sharding = NamedSharding(mesh, PartitionSpec(step.AXIS))
    run = jax.jit(step.repeat(train_step, steps_per_call(config)), donate_argnums=0)

    def feed_and_run(state: TrainState, count: int) -> tuple[TrainState, Metrics, float]:
        before = time.perf_counter()
        batch = next(batches)["voxels"]
        waited = time.perf_counter() - before
        batch = jax.make_array_from_process_local_data(sharding, batch)
        return *run(state, count, batch), waited

    return feed_and_run


def steps_per_call(config: ml_collections.ConfigDict) -> int:
    """Returns how many steps the device may do by itself: with a batch from the host, one."""
    return config.train.steps_per_call if config.data.loader == "resident" else 1


def _host_batches(
    config: ml_collections.ConfigDict, data: PreparedData, start: int
) -> Iterator[dict[str, np.ndarray]]:
    from rotdis.data import modelnet, pipeline  # need TensorFlow

    return iter(
        pipeline.make_batches(
            distributed.first_before_others(lambda: modelnet.write_shards(data)),
            "train",
            seed=config.seed,
            batch_size=config.train.batch_size,
            start_step=start,
            num_steps=config.train.steps - start,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
    )
