"""Laws of the training loop, in this process on eight devices."""

import json
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from rotdis import checkpoint, frames, run_folder, runner, step, train
from rotdis.config import describe
from rotdis.data import prepare
from rotdis.errors import CheckpointError, ConfigError, DataError
from rotdis.interrupt import Interrupted, StopSignals
from rotdis.metric_writer import MetricWriter, read_scalars
from rotdis.models import rotation_vae
from rotdis.window import TrainingError

pytest.importorskip("igl")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = tiny_config()
    config.data.dir = str(tmp_path_factory.mktemp("data"))
    config.data.num_train, config.data.workers = 100, 1
    config.train.steps, config.train.checkpoint_every, config.train.eval_every = 8, 4, 8
    config.train.log_every = 4
    prepare.prepare(config.data)
    return config


# What the program of the steps does not depend on.
_TIMES = ("train__log_every", "train__checkpoint_every", "train__eval_every")


@pytest.fixture(scope="module")
def compiled_once():
    """Lets runs of one configuration share their program: to compile it is most of their time."""
    runners, make = {}, runner.make_runner

    def shared(model, config, mesh, data, start):
        key = describe(_change(config, **dict.fromkeys(_TIMES, 1)))
        if key not in runners:
            runners[key] = make(model, config, mesh, data, start)
        return runners[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "make_runner", shared)
        yield


@pytest.fixture(scope="module")
def finished(config, compiled_once, tmp_path_factory):
    """A configuration that logs often, and the folder of a run of it that nothing disturbed."""
    often = _change(config, train__log_every=2, train__checkpoint_every=8, train__steps_per_call=1)
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    train.train(often, workdir)
    return often, workdir


def _change(config, **options):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in options.items()})
    return config


@pytest.mark.slow
def test_both_loaders_train_the_same(config, tmp_path):
    pytest.importorskip("tensorflow_datasets")
    for loader in ("resident", "tfdata"):
        short = _change(config, data__loader=loader, train__eval_every=100, train__steps=5)
        train.train(short, tmp_path / loader)
    rows = [
        [json.loads(line) for line in (tmp_path / loader / "metrics.jsonl").open()]
        for loader in ("resident", "tfdata")
    ]
    for one, two in zip(*rows, strict=True):
        for name in one:
            if name.startswith("train/"):
                assert np.isclose(one[name], two[name], rtol=1e-5), name
    assert max(row.get("speed/data_wait_share", 0) for row in rows[1]) > 0


def _train_steps(config, workdir, *stops):
    """Trains in several runs, each to the next of the given steps, and returns the last state."""
    for steps in stops:
        train.train(_change(config, train__steps=steps), workdir)
    return _restore(config, workdir)


def _restore(config, workdir):
    template = step.init_state(rotation_vae.create(config), config)
    state = checkpoint.Checkpoints(workdir, read_only=True).restore(
        template, train.make_mesh(config.train.batch_size)
    )
    return jax.tree.map(np.asarray, state)


@pytest.mark.slow
def test_however_steps_are_divided_among_calls_and_runs_the_result_is_the_same(config, tmp_path):
    # A schedule of constant steps: the cosine's length would follow from train.steps.
    constant = _change(config, train__eval_every=100, optimizer__learning_rate=1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "learning_rate_schedule", lambda _: lambda count: 1e-3)
        at_once = _train_steps(constant, tmp_path / "once", 7)
        for calls, stops in ((1, (7,)), (5, (2, 7))):
            divided = _change(constant, train__steps_per_call=calls)
            state = _train_steps(divided, tmp_path / f"{calls}", *stops)
            assert int(state.step) == 7
            jax.tree.map(np.testing.assert_array_equal, state, at_once)


def test_it_is_said_why_no_step_is_done_while_frames_are_looked_for(
    config, tmp_path, monkeypatch, capsys
):
    class Reached(Exception):
        pass

    def found(_, state):
        assert "common frames" in capsys.readouterr().err
        raise Reached

    monkeypatch.setattr(frames.Synchronizer, "is_due", lambda _, done: True)
    monkeypatch.setattr(frames.Synchronizer, "__call__", found)
    with pytest.raises(Reached):
        train.train(config, tmp_path)


def test_the_frames_found_are_those_that_steps_go_on_with(config, tmp_path, monkeypatch):
    class Reached(Exception):
        pass

    def stepped(state, _):
        assert (np.asarray(state.frames) == 7).all()
        raise Reached

    monkeypatch.setattr(frames.Synchronizer, "is_due", lambda _, done: True)
    monkeypatch.setattr(
        frames.Synchronizer,
        "__call__",
        lambda _, state: state.replace(frames=jnp.full_like(state.frames, 7)),
    )
    monkeypatch.setattr(runner, "make_runner", lambda *_: stepped)
    with pytest.raises(Reached):
        train.train(config, tmp_path)


def test_a_step_that_is_not_finite_stops_the_run_and_the_last_checkpoint_is_kept(
    config, compiled_once, tmp_path, monkeypatch
):
    """Step 6, the second of four in a call, finds parameters that are not finite."""
    make = runner.make_runner

    def poisoned(model, config, mesh, data, start):
        single = _change(config, train__steps_per_call=1)
        run_one = make(model, single, mesh, data, start)

        def run(state, count):
            history = []
            for _ in range(count):
                if int(state.step) == 5:
                    state = state.replace(params=jax.tree.map(lambda p: p * jnp.nan, state.params))
                state, metrics, _ = run_one(state, 1)
                history.append(metrics)
            return state, jax.tree.map(lambda *each: jnp.concatenate(each), *history), 0.0

        return run

    monkeypatch.setattr(runner, "make_runner", poisoned)
    with pytest.raises(
        TrainingError, match="step 6: reconstruction is nan, kl is nan, .*; stopped"
    ):
        train.train(config, tmp_path)
    assert list(run_folder.checkpoints(tmp_path)) == [4]
    state = _restore(config, tmp_path)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))
    assert int(state.step) == 4
    assert read_scalars(tmp_path)["train/loss"][0].tolist() == [4]


def test_a_batch_that_the_devices_cannot_share_is_refused(config, tmp_path):
    count = jax.device_count()
    with pytest.raises(ConfigError, match=f"multiple of the number of devices .{count}."):
        train.train(_change(config, train__batch_size=count + 1), tmp_path)


def test_a_signal_within_a_step_is_served_with_everything_saved(finished, tmp_path, monkeypatch):
    """It comes while the log line of step 2 is written, after that step's state was looked at.

    The run is saved between two lines, and writes the next as if it had not been stopped.
    """
    often, expected = finished
    original = MetricWriter.write_scalars

    def signalled(self, done, scalars):
        original(self, done, scalars)
        if done in (2, 8) and "train/loss" in scalars:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(MetricWriter, "write_scalars", signalled)
    for stopped_at in (3, 8):  # after the last step no turn follows that could serve it
        with pytest.raises(Interrupted, match=f"after step {stopped_at}, which is saved"):
            train.train(often, tmp_path / "run")
        found = checkpoint.Checkpoints(tmp_path / "run", read_only=True).latest_step()
        assert found == stopped_at
    states = [_restore(often, workdir) for workdir in (expected, tmp_path / "run")]
    jax.tree.map(np.testing.assert_array_equal, *states)
    logs = [read_scalars(workdir) for workdir in (expected, tmp_path / "run")]
    assert logs[0].keys() == logs[1].keys() and logs[0]["train/loss"][0].tolist() == [2, 4, 6, 8]
    for name in logs[0]:
        if not name.startswith("speed/"):
            assert np.array_equal(logs[0][name], logs[1][name]), name


def test_a_workdir_that_cannot_be_written_is_named(config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="file cannot be written"):
        train.train(config, tmp_path / "file")


def test_a_split_without_training_objects_is_named(config, tmp_path):
    with pytest.raises(DataError, match="gives 0 training objects"):
        train.train(_change(config, data__num_train=0, data__num_test=10), tmp_path)


def test_the_first_signal_asks_and_the_second_acts():
    received = []
    before = signal.signal(signal.SIGTERM, lambda *_: received.append(True))
    try:
        with StopSignals() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert stop.number == signal.SIGTERM and not received
            signal.raise_signal(signal.SIGTERM)
            assert received
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_starts_from_a_trained_model(finished, tmp_path, monkeypatch, capsys):
    config, trained = finished
    shutil.copytree(trained, tmp_path / "first")
    first = _restore(config, tmp_path / "first")
    begun = []
    monkeypatch.setattr(train, "_loop", lambda config, state, *_: begun.append(state))
    second = _change(config, train__start_from=str(tmp_path / "first"), seed=1)
    train.train(second, tmp_path / "second")
    assert int(begun[0].step) == 0
    for params in (begun[0].params, begun[0].ema_params):  # evaluated are the averaged ones
        jax.tree.map(np.testing.assert_array_equal, params, first.ema_params)
    # Once begun, a run has no need of what it started from, but is no other run's.
    (tmp_path / "first" / "checkpoints").rename(tmp_path / "second" / "checkpoints")
    train.train(second, tmp_path / "second")
    assert int(begun[1].step) == 8
    with pytest.raises(CheckpointError, match="train.start_from"):
        train.train(_change(second, train__start_from=""), tmp_path / "second")
    assert "random parameters" not in capsys.readouterr().out
    # It may lack the network that decides last, and the form, which are learned on top of it then.
    more = {"pose__frame_width": 8, "model__occupancy": True}
    third = _change(config, train__start_from=str(trained), **more)
    train.train(third, tmp_path / "third")
    lacking = "config.model.occupancy and config.pose.frame_width"
    assert f"train: {trained} lacks what {lacking} adds" in capsys.readouterr().out
    assert begun[2].params.keys() == first.params.keys() | {"frame"}
    assert not np.any(begun[2].params["decoder"]["form"]["kernel"])
    jax.tree.map(np.testing.assert_array_equal, begun[2].params["pose"], first.ema_params["pose"])


def test_a_run_does_not_start_from_what_is_missing_or_of_another_model(config, tmp_path):
    for source, complaint in (
        (tmp_path / "none", r"config.train.start_from: .*none: no such training run"),
        ("modelnet10", r"start_from: modelnet10 is another model .*data.resolution \(32 there, 16"),
    ):
        with pytest.raises(CheckpointError, match=complaint):
            train.train(_change(config, train__start_from=str(source)), tmp_path / "run")
        assert not (tmp_path / "run").exists()
