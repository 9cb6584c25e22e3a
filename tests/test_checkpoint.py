"""Laws of checkpoints: what is saved comes back, the newest stays, another run is refused."""

import json

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from tiny import tiny_config

from rotdis import checkpoint, step
from rotdis.errors import CheckpointError
from rotdis.models import rotation_vae


@pytest.fixture(scope="module")
def state():
    config = tiny_config()
    return step.init_state(rotation_vae.create(config), config)


def _mesh(count):
    return jax.make_mesh(
        (count,), (step.AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )


def _at(state, number):
    return state.replace(
        step=state.step + number, params=jax.tree.map(lambda leaf: leaf + number, state.params)
    )


@pytest.mark.parametrize("count", [1, 8])
def test_a_state_is_restored_bit_for_bit_on_any_number_of_devices(state, tmp_path, count):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(_at(state, 3))
    checkpoints.wait()
    restored = checkpoints.restore(state, _mesh(count))
    for ours, expected in zip(
        jax.tree.leaves(restored), jax.tree.leaves(_at(state, 3)), strict=True
    ):
        assert np.array_equal(ours, expected)
        assert len(ours.sharding.device_set) == count
    checkpoints.close()


def test_the_newest_and_the_best_are_kept(state, tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, keep_best=1)
    for number, iou in ((1, 0.2), (2, 0.7), (3, None), (4, 0.5), (5, None)):
        checkpoints.save(_at(state, number), None if iou is None else {checkpoint.BEST_METRIC: iou})
        checkpoints.wait()
    assert (checkpoints.latest_step(), checkpoints.best_step()) == (5, 2)
    kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()}
    assert kept == {2, 5}
    checkpoints.close()


def test_without_an_evaluation_the_newest_is_the_best(state, tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    assert checkpoints.latest_step() is None
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoints.restore(state, _mesh(1))
    checkpoints.save(_at(state, 4))
    checkpoints.wait()
    assert checkpoints.best_step() == 4
    checkpoints.close()


def test_a_damaged_checkpoint_is_named(state, tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(_at(state, 1))
    checkpoints.wait()
    for path in (tmp_path / "checkpoints" / "1").rglob("*"):
        if path.is_file() and "ocdbt.process" in str(path):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="checkpoints/1: cannot be read"):
        checkpoints.restore(state, _mesh(1))
    checkpoints.close()


def test_the_configuration_comes_back_whole(tmp_path):
    config = tiny_config()
    config.data.classes = ("chair", "bed")
    checkpoint.save_config(tmp_path, config)
    assert checkpoint.load_config(tmp_path).to_dict() == config.to_dict()


def test_another_run_is_refused_and_the_differing_keys_named(tmp_path):
    checkpoint.save_config(tmp_path, tiny_config())
    checkpoint.check_same_run(tmp_path, tiny_config())
    other = tiny_config()
    other.model.latent_size = 7
    other.optimizer.learning_rate = 0.5
    with pytest.raises(CheckpointError, match=r"model.latent_size \(4 there, 7 here\).*learning"):
        checkpoint.check_same_run(tmp_path, other)
    with pytest.raises(CheckpointError, match="model.latent_size"):
        checkpoint.check_same_model(tmp_path, other)
    other = tiny_config()
    other.data.dir, other.train.log_every, other.data.loader = "elsewhere", 5, "tfdata"
    checkpoint.check_same_run(tmp_path, other)
    other.data.source = "other.npz"
    checkpoint.check_same_model(tmp_path, other)


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "not a configuration"),
        ("[]", "not a configuration"),
        (json.dumps({"format": 99, "config": {}}), "format 99"),
    ],
)
def test_an_unreadable_configuration_is_named(tmp_path, content, message):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load_config(tmp_path)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="holds no training run"):
        checkpoint.load_config(tmp_path)
