"""The training loop: data, step, log, evaluation and checkpoints, from any point to the end."""

import contextlib
import hashlib
import importlib
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import ml_collections
import numpy as np
import optax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from rotdis import checkpoint, distributed, frames, inference, run_folder, runner, step
from rotdis.config import describe
from rotdis.data import prepare
from rotdis.data.order import MAX_OBJECTS
from rotdis.data.prepare import PreparedData
from rotdis.data.voxelset import VoxelSet
from rotdis.errors import CheckpointError, ConfigError, DataError
from rotdis.interrupt import Interrupted, StopSignals
from rotdis.metric_writer import MetricWriter
from rotdis.models import rotation_vae
from rotdis.progress import Progress
from rotdis.step import TrainState
from rotdis.validation import Validator
from rotdis.window import Window

# Beside the progress bar: as it is called there, and as it is logged.
_SHOWN = (
    ("loss", "train/loss"),
    ("sse", "train/sse"),
    ("pair_acc15", "train/pair_acc15"),
    ("views_per_second", "speed/views_per_second"),
)

# What a run may have that the model it starts from lacks.
_ON_TOP = (("model", "occupancy"), ("pose", "frame_width"))


def train(config: ml_collections.ConfigDict, workdir: str | Path) -> PreparedData:
    """Trains a model, or goes on where the workdir's newest checkpoint stands.

    Writes checkpoints, the configuration, `metrics.jsonl` and TensorBoard events into `workdir`.

    Args:
        config: a validated configuration.
        workdir: the run's folder.

    Returns:
        The prepared data that it trained on.

    Raises:
        CheckpointError: the workdir cannot be written, holds another model's run or one of other
            objects, or is in use by another process; or there is no such model as
            `config.train.start_from` names.
        UsageError: checkpoints in the workdir would not be found again.
        ConfigError: the batch cannot be divided over the devices.
        DataError: the data cannot be prepared, or hold no training objects, or too many.
        ImportError: `config.train.wandb` names a project, and wandb is not installed.
        Interrupted: SIGINT or SIGTERM came; the state has been saved.
        TrainingError: the loss is not finite; earlier checkpoints are kept.
    """
    workdir = Path(workdir)
    if not distributed.agrees(describe(config).encode()):
        raise ConfigError("the processes were started with different configurations")
    mesh = make_mesh(config.train.batch_size)
    if config.train.wandb:
        importlib.import_module("rotdis.wandb_log")  # where wandb is missing, it is said now
    trained = None
    run_folder.check_name(workdir)
    if run_folder.holds_checkpoint(workdir):
        run_folder.check_same_run(workdir, config)
    elif config.train.start_from:
        trained = _trained(config)
    data = distributed.first_before_others(lambda: prepare.prepare(config.data))
    _check_size(data.train, config)
    objects = hashlib.sha256(np.ascontiguousarray(data.train.packed)).hexdigest()
    if run_folder.holds_checkpoint(workdir):
        source = config.data.source or config.data.dataset
        run_folder.check_same_objects(workdir, objects, source)
    if not distributed.agrees(objects.encode()):
        raise DataError(
            f"{data.directory}: not every process has the same objects there; prepare them anew "
            "from one source, or keep them where all processes see them (config.data.dir)"
        )
    with contextlib.ExitStack() as stack:
        try:
            if distributed.is_first():
                stack.enter_context(run_folder.occupied(workdir))
            distributed.first_before_others(lambda: _save_config(workdir, config, objects))
            checkpoints = checkpoint.Checkpoints(workdir, config.train.keep_best)
        except OSError as error:
            raise CheckpointError(f"--workdir: {workdir} cannot be written ({error})") from error
        _train(config, workdir, mesh, data, trained, checkpoints)
    return data


def _train(
    config: ml_collections.ConfigDict,
    workdir: Path,
    mesh: Mesh,
    data: PreparedData,
    trained: optax.Params | None,
    checkpoints: checkpoint.Checkpoints,
) -> None:
    """Trains from the newest checkpoint, from `trained`, or from the beginning."""
    model = rotation_vae.create(config)
    state = step.init_state(model, config)
    if checkpoints.latest_step() is None:
        if trained is not None:
            state = step.start_from(state, trained)
        if not distributed.is_alone():  # the last bits of a random draw may differ among machines
            state = multihost_utils.broadcast_one_to_all(state)
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    else:
        state = checkpoints.restore(state, mesh)
    start = int(state.step)
    window = Window(2 * config.train.batch_size, checkpoints.unlogged(start))
    run_steps = runner.make_runner(model, config, mesh, data, start)
    first_process, mirror = distributed.is_first(), None
    if config.train.wandb and first_process:
        from rotdis import wandb_log

        mirror = wandb_log.WandbLog(config.train.wandb, workdir, config.to_dict())
    with _metrics_written(workdir), contextlib.ExitStack() as stack:
        stack.callback(checkpoints.close)
        writer = MetricWriter(workdir, step=start, enabled=first_process, mirror=mirror)
        stack.callback(writer.close)
        validator = Validator(config, data, writer)
        synchronizer = frames.Synchronizer(config, data.train, mesh)
        if first_process and step.frames_are_used(config) and not frames.due(config):
            print(
                "train: no common frames will be found, since no share of the steps in "
                "config.frames.synchronize_at ends with a line of the log (train.log_every) "
                "before the last step"
            )
        # Inside: to close checkpoints would be to wait for processes that do not wait for this one.
        with distributed.leaving_on_errors(), _metrics_written(workdir):
            _loop(config, state, run_steps, window, checkpoints, validator, synchronizer, writer)


def _trained(config: ml_collections.ConfigDict) -> optax.Params:
    """Returns the parameters that a run is to start from."""
    source = config.train.start_from
    try:
        model = inference.load(source)
        lacking = []  # these may be learned on top of what it has
        for part, field in _ON_TOP:
            if config[part][field] and not model.config[part][field]:
                model.config[part][field] = config[part][field]
                lacking.append(f"config.{part}.{field}")
        run_folder.check_same_model(source, model.config, config)
    except CheckpointError as error:
        raise CheckpointError(f"config.train.start_from: {error}") from error
    if lacking and distributed.is_first():
        print(f"train: {source} lacks what {' and '.join(lacking)} adds, which begins untrained")
    return model.params


@contextlib.contextmanager
def _metrics_written(workdir: Path) -> Iterator[None]:
    """Makes one message of a disk's error; checkpoints have errors of their own."""
    try:
        yield
    except OSError as error:
        kept = max(run_folder.checkpoints(workdir), default=0)
        raise CheckpointError(
            f"{workdir}: the metrics cannot be written ({error.strerror or error}); mend that, and "
            f"the same command goes on from step {kept}"
        ) from error


def _save_config(workdir: Path, config: ml_collections.ConfigDict, objects: str) -> None:
    """Writes the configuration, in process 0; the others see thereby that the folder is shared."""
    if distributed.is_first():
        run_folder.save_config(workdir, config, objects)
    elif not (workdir / run_folder.CONFIG).exists():
        raise CheckpointError(
            f"--workdir: what process 0 wrote to {workdir} is not there; give a folder on a file "
            "system that all processes share"
        )


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
    # Each process feeds one contiguous part of the batch, whatever JAX thinks of its topology.
    devices = np.array(distributed.ordered_devices())
    return Mesh(devices, (step.AXIS,), axis_types=(AxisType.Auto,))


def _check_size(split: VoxelSet, config: ml_collections.ConfigDict) -> None:
    if not 1 <= len(split) <= MAX_OBJECTS:
        raise DataError(
            f"config.data.source: {config.data.source or config.data.dataset} gives {len(split)} "
            f"training objects; from 1 to {MAX_OBJECTS:,} can be trained on"
        )


def _loop(
    config: ml_collections.ConfigDict,
    state: TrainState,
    run_steps: runner.Runner,
    window: Window,
    checkpoints: checkpoint.Checkpoints,
    validator: Validator,
    synchronizer: frames.Synchronizer,
    writer: MetricWriter,
) -> None:
    done, last = int(state.step), config.train.steps
    votes = distributed.Votes()
    with StopSignals() as stop, Progress(total=last, initial=done) as progress:
        while done < last:
            if synchronizer.is_due(done):
                progress.write("train: finding common frames; minutes, where objects are thousands")
                state = synchronizer(state)
                window.restart_clock()
            # Checkpoints and evaluations are due at multiples of log_every.
            until_due = config.train.log_every - done % config.train.log_every
            count = min(runner.steps_per_call(config), until_due, last - done)
            state, metrics, waited = run_steps(state, count)
            window.add(done, count, metrics, waited)
            done += count
            # Read once: a signal that comes later in this turn is served after the next one.
            signalled = votes(stop.number)
            stopping = signalled and done < last
            saving = done % config.train.checkpoint_every == 0 or done == last or stopping
            evaluating = done % config.train.eval_every == 0 or done == last
            scores = None
            if done % config.train.log_every == 0 or done == last:
                averages = window.close()
                writer.write_scalars(done, averages)
                progress.update(
                    done, {name: averages[key] for name, key in _SHOWN if key in averages}
                )
            if evaluating:
                scores = validator(done, state)
            if saving or evaluating:
                writer.flush()  # first: whoever resumes from here finds what led to it
                # Stopped between two lines, the run will write the next as if it had not been.
                checkpoints.save(state, scores, unlogged=window.read())
                window.restart_clock()
            if stopping:
                break
        else:
            # What came in the last turn, after it was asked for, or from another process.
            signalled = votes(stop.number) or votes(stop.number)
        if signalled:
            checkpoints.wait()
            raise Interrupted(
                f"stopped by {signal.Signals(signalled).name} after step {done}, which is saved; "
                "the same command goes on from there",
                signalled,
            )
