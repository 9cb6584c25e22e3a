"""The training loop: data, step, log, evaluation and checkpoints, from any point to the end."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import ml_collections
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rotdis import checkpoint, evaluate, pictures, step
from rotdis.data import prepare, resident
from rotdis.data.prepare import PreparedData
from rotdis.errors import ConfigError, RotdisError
from rotdis.inference import Model
from rotdis.metric_writer import MetricWriter
from rotdis.models import rotation_vae
from rotdis.progress import Progress
from rotdis.step import TrainState

# Beside the progress bar: as it is called there, and as it is logged.
_SHOWN = (
    ("loss", "train/loss"),
    ("sse", "train/sse"),
    ("pair_acc15", "train/pair_acc15"),
    ("views_per_second", "speed/views_per_second"),
)


class TrainingError(RotdisError):
    """Training met a loss that is not a finite number."""


class Interrupted(RotdisError):
    """Training was asked to stop by a signal; its state is saved.

    Attributes:
        exit_status: what a shell expects of a process that this signal ended.
    """

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_status = 128 + signal_number


def train(config: ml_collections.ConfigDict, workdir: str | Path) -> PreparedData:
    """Trains a model, or goes on where the workdir's newest checkpoint stands.

    Writes checkpoints, the configuration, `metrics.jsonl` and TensorBoard events into `workdir`.

    Args:
        config: a validated configuration.
        workdir: the run's folder.

    Returns:
        The prepared data that it trained on.

    Raises:
        CheckpointError: the workdir holds another model's run.
        ConfigError: the batch cannot be divided over the devices.
        DataError: the data cannot be prepared.
        Interrupted: SIGINT or SIGTERM came; the state has been saved.
        TrainingError: the loss is not finite; earlier checkpoints are kept.
    """
    workdir = Path(workdir)
    mesh = make_mesh(config.train.batch_size)
    checkpoints = checkpoint.Checkpoints(workdir, config.train.keep_best)
    if checkpoints.latest_step() is not None:
        checkpoint.check_same_run(workdir, config)
    data = prepare.prepare(config.data)
    checkpoint.save_config(workdir, config)

    model = rotation_vae.create(config)
    state = step.init_state(model, config)
    if checkpoints.latest_step() is None:
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    else:
        state = checkpoints.restore(state, mesh)
    run_step = _make_runner(model, config, mesh, data, start=int(state.step))
    writer = MetricWriter(workdir, step=int(state.step), enabled=jax.process_index() == 0)
    validator = _Validator(config, data, writer)
    try:
        _loop(config, state, run_step, checkpoints, validator, writer)
    finally:
        checkpoints.close()
        writer.close()
    return data


def make_mesh(batch_size: int) -> Mesh:
    """Returns a mesh of all devices, over which a batch is divided evenly.

    Raises:
        ConfigError: it cannot be.
    """
    if batch_size % jax.device_count():
        raise ConfigError(
            f"config.train.batch_size: is {batch_size}, but must be a multiple of the number of "
            f"devices ({jax.device_count()})"
        )
    return jax.make_mesh((jax.device_count(),), (step.AXIS,), axis_types=(AxisType.Auto,))


def _loop(
    config: ml_collections.ConfigDict,
    state: TrainState,
    run_step: Callable,
    checkpoints: checkpoint.Checkpoints,
    validator: "_Validator",
    writer: MetricWriter,
) -> None:
    start, last = int(state.step), config.train.steps
    window = _Window(config)
    with _StopSignals() as stop, Progress(total=last, initial=start) as progress:
        for done in range(start + 1, last + 1):
            state, metrics, waited = run_step(state)
            window.add(done, metrics, waited)
            # Read once: a signal that comes later in this step is served after the next one.
            stopping = stop.requested and done < last
            saving = done % config.train.checkpoint_every == 0 or done == last or stopping
            evaluating = done % config.train.eval_every == 0 or done == last
            scores = None
            if done % config.train.log_every == 0 or saving or evaluating:
                averages = window.close()
                writer.write_scalars(done, averages)
                progress.update(
                    done, {name: averages[key] for name, key in _SHOWN if key in averages}
                )
            if evaluating:
                scores = validator(done, state)
            if saving or evaluating:
                checkpoints.save(state, scores)
                writer.flush()
                window.restart_clock()
            if stopping:
                checkpoints.wait()
                raise Interrupted(
                    f"stopped by {stop.name} after step {done}, which is saved; "
                    "the same command goes on from there",
                    stop.number,
                )


def _make_runner(
    model: rotation_vae.RotationVAE,
    config: ml_collections.ConfigDict,
    mesh: Mesh,
    data: PreparedData,
    start: int,
) -> Callable[[TrainState], tuple[TrainState, step.Metrics, float]]:
    """Returns a function that does one step, and the seconds for which it waited for data."""
    train_step = step.make_train_step(model, config, mesh)
    batch_size = config.train.batch_size
    if config.data.loader == "resident":
        packed = resident.place(data.train, mesh)
        drawing_step = jax.jit(
            lambda state, packed: train_step(
                state, resident.draw(packed, config.seed, state.step, batch_size)
            ),
            donate_argnums=0,
        )
        return lambda state: (*drawing_step(state, packed), 0.0)

    batches = _host_batches(config, data, start)
    sharding = NamedSharding(mesh, PartitionSpec(step.AXIS))
    fed_step = jax.jit(train_step, donate_argnums=0)

    def run_step(state: TrainState) -> tuple[TrainState, step.Metrics, float]:
        before = time.perf_counter()
        batch = next(batches)["voxels"]
        waited = time.perf_counter() - before
        return *fed_step(state, jax.make_array_from_process_local_data(sharding, batch)), waited

    return run_step


def _host_batches(
    config: ml_collections.ConfigDict, data: PreparedData, start: int
) -> Iterator[dict[str, np.ndarray]]:
    from rotdis.data import modelnet, pipeline  # need TensorFlow

    return iter(
        pipeline.make_batches(
            modelnet.write_shards(data),
            "train",
            seed=config.seed,
            batch_size=config.train.batch_size,
            start_step=start,
            num_steps=config.train.steps - start,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
    )


class _Window:
    """Metrics of the steps since the last log line, left on the device until they are read."""

    def __init__(self, config: ml_collections.ConfigDict):
        self._views_per_step = 2 * config.train.batch_size
        self._entries: list[tuple[int, step.Metrics]] = []
        self._waited = 0.0
        self._busy = 0.0
        self.restart_clock()

    def add(self, done: int, metrics: step.Metrics, waited: float) -> None:
        self._entries.append((done, metrics))
        self._waited += waited

    def restart_clock(self) -> None:
        """Leaves what passed since the last reading (evaluation, saving) out of the speed."""
        self._since = time.perf_counter()

    def close(self) -> dict[str, float]:
        """Returns the averages, checked to be finite, and starts the next window."""
        entries = [(done, jax.device_get(metrics)) for done, metrics in self._entries]
        seconds = time.perf_counter() - self._since
        for done, metrics in entries:
            for name, value in metrics.items():
                if not math.isfinite(value):
                    raise TrainingError(
                        f"step {done}: {name} is {float(value)}; stopped. The checkpoints before "
                        "it are kept; try a lower optimizer.learning_rate or optimizer.clip_norm"
                    )
        averages = {
            f"train/{name}": float(np.mean([metrics[name] for _, metrics in entries]))
            for name in entries[0][1]
        }
        averages["speed/views_per_second"] = self._views_per_step * len(entries) / seconds
        averages["speed/data_wait_share"] = self._waited / seconds
        self._entries, self._waited = [], 0.0
        self.restart_clock()
        return averages


class _Validator:
    """Evaluates the averaged parameters on the validation split."""

    def __init__(self, config: ml_collections.ConfigDict, data: PreparedData, writer: MetricWriter):
        self._config, self._split, self._writer = config, data.validation, writer
        self._model: Model | None = None

    def __call__(self, done: int, state: TrainState) -> dict[str, float] | None:
        if not len(self._split):
            return None
        params = jax.tree.map(lambda leaf: leaf.addressable_data(0), state.ema_params)
        if self._model is None:
            self._model = Model(self._config, params)
        self._model.params = params
        metrics, _ = evaluate.evaluate(
            self._model,
            self._split,
            (),
            seed=self._config.eval.seed,
            batch_size=self._config.eval.batch_size,
            max_train=0,
            rotations=self._config.data.rotations,
        )
        overall = {name: value for name, value in metrics.items() if name.count("/") == 1}
        self._writer.write_scalars(
            done, {f"validation/{name}": value for name, value in overall.items()}
        )
        sheets = pictures.preview(
            self._model,
            self._split,
            seed=self._config.eval.seed,
            rotations=self._config.data.rotations,
        )
        self._writer.write_images(done, sheets)
        return overall


class _StopSignals:
    """Turns the first SIGINT or SIGTERM into a request; a second one acts at once."""

    requested = False
    number = 0

    @property
    def name(self) -> str:
        return signal.Signals(self.number).name

    def __enter__(self) -> "_StopSignals":
        self._previous = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        except ValueError:  # not the main thread, as in a notebook's worker: no handlers there
            pass
        return self

    def _request(self, number: int, frame) -> None:
        self.requested, self.number = True, number
        signal.signal(number, self._previous[number])

    def __exit__(self, *exception) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
