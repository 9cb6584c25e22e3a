"""A configuration is checked before anything is done, and the message names the key."""

import importlib
from pathlib import Path

import pytest

from rotdis.config import base_config
from rotdis.config_rules import validate
from rotdis.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path.relative_to(ROOT) for path in (ROOT / "configs").rglob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_every_configuration_in_the_repository_is_valid(path):
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    validate(module.get_config())


@pytest.mark.parametrize(
    "key, value",
    [
        ("data.loader", "disk"),
        ("data.resolution", 24),
        ("data.resolution", 32.0),
        ("data.rotations", "so2"),
        ("data.partial", 1),
        ("data.validation_fraction", 1.5),
        ("model.latent_size", 0),
        ("model.dtype", "float16"),
        ("model.volume_size", 12),
        ("pose.method", "searching"),
        ("optimizer.learning_rate", -1.0),
        ("optimizer.warmup_steps", 10**9),
        ("train.steps", True),
        ("train.checkpoint_every", 30),
        ("train.ema_decay", 1.0),
        ("optimizer.b2", 1.0),
        ("optimizer.b2", 1),
        ("optimizer.b2", 1 - 1e-9),  # 1 in float32
        ("optimizer.learning_rate", 1e39),  # infinite in float32
        ("optimizer.weight_decay", float("nan")),
        ("eval.symmetries", ("table",)),
        ("eval.symmetries", ("table:C2", "table:D4")),
        ("eval.symmetries", ("chair:C2",)),  # declared to have one front
        ("eval.symmetries", (2,)),
    ],
)
def test_a_wrong_value_is_refused_by_name(key, value):
    config = base_config()
    section, name = key.split(".")
    with config.ignore_type():
        config[section][name] = value
    with pytest.raises(ConfigError, match=f"config.{key}"):
        validate(config)


@pytest.mark.parametrize("key", ["seed", "eval.seed"])
def test_seeds_are_those_that_the_device_can_tell_apart(key):
    config = base_config()
    config.update_from_flattened_dict({key: 2**31 - 3})
    validate(config)
    config.update_from_flattened_dict({key: 2**31 - 2})
    with pytest.raises(ConfigError, match=f"config.{key}: is .* below 2,147,483,646"):
        validate(config)


def test_unknown_and_missing_fields_are_refused_by_name():
    config = base_config()
    config.model.depth = 3
    with pytest.raises(ConfigError, match="config.model.depth.*no such field"):
        validate(config)
    config = base_config()
    del config.train.steps
    with pytest.raises(ConfigError, match="config.train.steps.*missing"):
        validate(config)


def test_shares_of_the_steps_are_numbers():
    config = base_config()
    for shares in ((), (0.5,), [0.25, 0.75]):
        config.frames.synchronize_at = shares
        validate(config)
    for wrong in (("0.5",), (True,), (1.5,), (float("nan"),)):
        config.frames.synchronize_at = wrong
        with pytest.raises(ConfigError, match="frames.synchronize_at: "):
            validate(config)


@pytest.mark.parametrize("field", ["frames.stretch", "loss.alike_weight"])
def test_what_frames_are_found_for_needs_frames(field):
    config = base_config()
    config.update_from_flattened_dict({field: 0.2})
    validate(config)
    config.frames.synchronize_at = ()
    with pytest.raises(ConfigError, match=f"{field}: "):
        validate(config)


@pytest.mark.parametrize("share", [-0.5, 1.5, float("nan")])
def test_a_share_of_the_steps_is_between_none_and_all(share):
    config = base_config()
    for right in (0.0, 0.5, 1.0):
        config.train.as_used = right
        validate(config)
    config.train.as_used = share
    with pytest.raises(ConfigError, match="train.as_used: "):
        validate(config)


@pytest.mark.parametrize("method", ["search", "none"])
def test_poses_are_refined_only_where_a_network_finds_them(method):
    config = base_config()
    config.pose.refine_steps = 20
    validate(config)
    config.pose.method = method
    config.frames.stretch = config.loss.alike_weight = 0.0
    with pytest.raises(ConfigError, match="pose.refine_steps: "):
        validate(config)


def test_pose_networks_can_be_held_where_a_trained_model_has_them():
    config = base_config()
    config.train.hold_pose = True
    with pytest.raises(ConfigError, match="train.hold_pose: "):
        validate(config)
    config.train.start_from = "modelnet10"
    validate(config)
    config.pose.method, config.frames.stretch = "none", 0.0
    with pytest.raises(ConfigError, match="train.hold_pose: "):
        validate(config)


@pytest.mark.parametrize("key", ["train.batch_size", "frames.capacity", "train.steps_per_call"])
def test_a_size_that_no_array_can_have_is_refused(key):
    config = base_config()
    config.update_from_flattened_dict({key: 2**31})
    with pytest.raises(ConfigError, match=f"config.{key}: is 2147483648, but must be below"):
        validate(config)
