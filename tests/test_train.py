"""Laws of the training loop, in this process on eight devices."""

import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config

from rotdis import step, train
from rotdis.data import prepare
from rotdis.errors import ConfigError
from rotdis.metric_writer import read_scalars

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


def _change(config, **options):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in options.items()})
    return config


def _losses(workdir):
    return read_scalars(workdir)["train/loss"][1]


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


def test_a_loss_that_is_not_finite_stops_the_run_and_names_it(config, tmp_path, monkeypatch):
    original = step.loss_and_metrics

    def poisoned(params, model, config, x, keys):
        loss, metrics = original(params, model, config, x, keys)
        return loss, metrics | {"kl": metrics["kl"] * jnp.nan}

    monkeypatch.setattr(step, "loss_and_metrics", poisoned)
    with pytest.raises(train.TrainingError, match="step 1: kl is nan"):
        train.train(config, tmp_path)
    assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_a_batch_that_the_devices_cannot_share_is_refused(config, tmp_path):
    count = jax.device_count()
    with pytest.raises(ConfigError, match=f"multiple of the number of devices .{count}."):
        train.train(_change(config, train__batch_size=count + 1), tmp_path)


def test_the_first_signal_asks_and_the_second_acts():
    received = []
    before = signal.signal(signal.SIGTERM, lambda *_: received.append(True))
    try:
        with train._StopSignals() as stop:
            signal.raise_signal(signal.SIGTERM)
            assert stop.requested and stop.name == "SIGTERM" and not received
            signal.raise_signal(signal.SIGTERM)
            assert received
    finally:
        signal.signal(signal.SIGTERM, before)
