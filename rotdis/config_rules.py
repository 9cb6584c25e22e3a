"""What makes a configuration valid, before anything is done with it."""

import ml_collections

from rotdis.config import base_config, flatten
from rotdis.errors import ConfigError

_CHOICES = {
    "data.dataset": ("modelnet10", "modelnet40"),
    "data.loader": ("resident", "tfdata"),
    "data.rotations": ("so3", "cube", "none"),
    "model.dtype": ("float32", "bfloat16"),
    "pose.method": ("mixture", "search", "none"),
    "pose.residual": ("6d", "svd"),
}
_LARGEST = 2**63
_SEEDS = 2**31 - 2  # they and the two after them are 32-bit numbers on the device
# Numbers are computed with in float32, where larger ones are infinite, or 1.
_LARGEST_FLOAT = 2**128 - 2**104
_LARGEST_BELOW_ONE = 1 - 2**-24
_MAX_RESOLUTION = 512  # a grid of 0.5 GB; the networks' sizes grow with it as well
_LARGEST_SIZE = 2**31
_SIZES = (  # of arrays on the device
    "frames.capacity",
    "frames.neighbours",
    "model.latent_size",
    "model.width",
    "pose.frame_width",
    "pose.second_width",
    "pose.width",
    "search.refined",
    "search.restarts",
    "train.batch_size",
    "train.steps_per_call",
    "eval.batch_size",
)
_AT_LEAST_ZERO = (
    "seed",
    "data.seed",
    "data.num_test",
    "data.workers",
    "loss.kl_weight",
    "loss.equivariance_weight",
    "loss.tilt_weight",
    "loss.alike_weight",
    "frames.stretch",
    "pose.second_width",
    "pose.frame_width",
    "pose.refine_steps",
    "optimizer.warmup_steps",
    "optimizer.weight_decay",
    "train.as_used",
    "train.keep_best",
    "eval.seed",
    "eval.max_train",
)


def validate(config: ml_collections.ConfigDict) -> None:
    """Checks a configuration before anything is done with it.

    Raises:
        ConfigError: it names the key, what it holds, and what is allowed there.
    """
    values, expected = flatten(config), flatten(base_config())
    for key in values.keys() - expected.keys():
        raise ConfigError(f"config.{key}: there is no such field; see rotdis/config.py")
    for key, default in expected.items():
        if key not in values:
            raise ConfigError(f"config.{key}: is missing; start from rotdis.config.base_config()")
        _check_value(key, values[key], default)
    for key, choices in _CHOICES.items():
        _require(values[key] in choices, key, values[key], f"one of {', '.join(choices)}")
    for key, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            if key in _AT_LEAST_ZERO:
                _require(value >= 0, key, value, "zero or more")
            else:
                _require(value > 0 or key == "data.validation_fraction", key, value, "positive")
    _validate_sizes(values)


def check_fields(config: ml_collections.ConfigDict) -> None:
    """Checks each field by itself, its type above all; unknown and missing ones pass.

    Raises:
        ConfigError: it names the key, what it holds, and what is allowed there.
    """
    values = flatten(config)
    for key, default in flatten(base_config()).items():
        if key in values:
            _check_value(key, values[key], default)


def _validate_sizes(values: dict[str, object]) -> None:
    resolution, grid = values["data.resolution"], values["model.grid"]
    for key, unit in (("model.grid", 4), ("pose.grid", 16)):
        _require(values[key] % unit == 0, key, values[key], f"a multiple of {unit}")
        _require(
            resolution % values[key] == 0,
            "data.resolution",
            resolution,
            f"a multiple of {key} ({values[key]})",
        )
    _require(
        values["model.volume_size"] % grid == 0,
        "model.volume_size",
        values["model.volume_size"],
        f"a multiple of model.grid ({grid})",
    )
    _require(values["train.as_used"] <= 1, "train.as_used", values["train.as_used"], "in [0, 1]")
    fraction = values["data.validation_fraction"]
    _require(0 <= fraction < 1, "data.validation_fraction", fraction, "in [0, 1)")
    warmup, steps = values["optimizer.warmup_steps"], values["train.steps"]
    _require(warmup < steps, "optimizer.warmup_steps", warmup, f"fewer than train.steps ({steps})")
    for key in ("optimizer.b2", "train.ema_decay"):
        _require(values[key] <= _LARGEST_BELOW_ONE, key, values[key], "below 1 in float32")
    refined, restarts = values["search.refined"], values["search.restarts"]
    _require(
        refined <= restarts, "search.refined", refined, f"at most search.restarts ({restarts})"
    )
    _validate_symmetries(values)
    for key in ("seed", "eval.seed"):
        _require(values[key] < _SEEDS, key, values[key], f"below {_SEEDS:,}")
    shares = values["frames.synchronize_at"]
    _require(
        all(isinstance(share, float) and 0 < share < 1 for share in shares),
        "frames.synchronize_at",
        shares,
        "shares of the steps, between 0 and 1",
    )
    for key in ("frames.stretch", "loss.alike_weight"):
        _require(
            values[key] == 0 or (len(shares) > 0 and values["pose.method"] == "mixture"),
            key,
            values[key],
            "0 where no frames are found (frames.synchronize_at, pose.method)",
        )
    _require(
        not values["train.hold_pose"]
        or (values["train.start_from"] != "" and values["pose.method"] == "mixture"),
        "train.hold_pose",
        values["train.hold_pose"],
        "False where there is no pose network to hold (train.start_from, pose.method)",
    )
    _require(
        values["pose.refine_steps"] == 0 or values["pose.method"] == "mixture",
        "pose.refine_steps",
        values["pose.refine_steps"],
        "0 where no pose network finds poses (pose.method)",
    )
    for key in ("checkpoint_every", "eval_every"):
        _require(
            values[f"train.{key}"] % values["train.log_every"] == 0,
            f"train.{key}",
            values[f"train.{key}"],
            f"a multiple of train.log_every ({values['train.log_every']})",
        )


def _validate_symmetries(values: dict[str, object]) -> None:
    from rotdis.metrics import symmetry  # imports JAX, which this module does without

    key = "eval.symmetries"
    try:
        declared = symmetry.parse(values[key])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"config.{key}: {error}") from error
    both = sorted(declared.keys() & set(values["eval.oriented_classes"]))
    _require(not both, key, values[key], f"free of eval.oriented_classes ({', '.join(both)})")


def _check_value(key: str, value: object, default: object) -> None:
    allowed = {float: (float, int), tuple: (tuple, list)}.get(type(default), (type(default),))
    wrong = isinstance(value, bool) and type(default) is not bool
    if wrong or not isinstance(value, allowed):
        raise ConfigError(
            f"config.{key}: must be of type {type(default).__name__}, "
            f"not {type(value).__name__} ({value!r})"
        )
    if isinstance(value, tuple | list):
        items = {float: (float, int)}.get(type(default[0]) if default else str, (str,))
        if not all(isinstance(item, items) and not isinstance(item, bool) for item in value):
            what = "numbers" if float in items else "strings"
            raise ConfigError(f"config.{key}: must hold {what} only, not {value!r}")
    if isinstance(value, float) and not abs(value) <= _LARGEST_FLOAT:
        raise ConfigError(f"config.{key}: is {value!r}, but must be finite in float32")
    if key == "data.resolution" and value > _MAX_RESOLUTION:
        raise ConfigError(f"config.{key}: is {value}, but must be at most {_MAX_RESOLUTION}")
    if isinstance(value, int) and abs(value) >= _LARGEST:
        raise ConfigError(f"config.{key}: is 2^{value.bit_length()} or so, but must be below 2^63")
    if key in _SIZES and value >= _LARGEST_SIZE:
        raise ConfigError(f"config.{key}: is {value}, but must be below 2^31")


def _require(condition: bool, key: str, value: object, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"config.{key}: is {value!r}, but must be {allowed}")
