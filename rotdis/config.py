"""The configuration of a run: every field with its default, and what makes one valid.

The files in `configs/` start from `base_config` and override what they need; the command line
overrides both (`--config.train.steps=100`).
"""

import math

import ml_collections

from rotdis.errors import ConfigError


def base_config() -> ml_collections.ConfigDict:
    """Returns the mission's configuration: ModelNet10 at 32^3 from all orientations, unlabelled."""
    config = ml_collections.ConfigDict()
    # Decides everything that is random: parameters, order of objects, views, noise.
    config.seed = 0

    config.data = ml_collections.ConfigDict()
    # "furniture" (generated), a ModelNet zip, a folder CLASS/{train,test}/*.off, a VoxNet-style
    # .npz, or "" to download `dataset`.
    config.data.source = ""
    config.data.dataset = "modelnet10"  # or "modelnet40"; only for source ""
    config.data.dir = "~/.cache/rotdis"  # prepared voxels are kept here
    config.data.resolution = 32  # D, voxels along a side: a multiple of 16
    # Whether voxels keep anti-aliased occupancy (a byte each), which thin parts need, or are bits.
    config.data.partial = True
    config.data.supersample = 2  # samples along a voxel's side, where partial
    config.data.classes = ()  # the classes to keep; () keeps all
    config.data.validation_fraction = 0.05  # of the training split; chooses the best checkpoint
    config.data.seed = 0  # of the generated objects
    config.data.num_train = 2000  # generated objects, validation included; only for "furniture"
    config.data.num_test = 400
    config.data.workers = 0  # processes that prepare; 0 is one per core
    # "resident" keeps the training split in device memory and needs no TensorFlow; "tfdata" feeds
    # it from TFDS shards. Both give the same batches.
    config.data.loader = "resident"
    # Whether the objects of a class share a frame in the source, against which the evaluation may
    # compare the canonical frames found. It never reaches the training. ModelNet10's do; those of
    # ModelNet40 as first published do not.
    config.data.aligned = True
    config.data.rotations = "so3"  # how objects are turned: "so3", "cube" (the 24), or "none"

    config.model = ml_collections.ConfigDict()
    config.model.latent_size = 32  # L, size of the shape code
    config.model.grid = 8  # side of the feature grid of encoder and decoder
    config.model.width = 64  # channels there; twice as many at half the side
    config.model.volume_size = 16  # side of the canonical latent volume that is rotated
    config.model.volume_channels = 8
    # Of the computation; parameters, KL, loss, coordinates and rotations are always float32.
    config.model.dtype = "float32"  # or "bfloat16"

    config.pose = ml_collections.ConfigDict()
    # "mixture": a network proposes 24 poses and weighs them; "search": those of lowest VAE loss are
    # searched (the affine VAE); "none": the plain VAE.
    config.pose.method = "mixture"
    config.pose.grid = 16  # the pose network sees the object averaged down to this side
    config.pose.width = 64
    # How residual rotations are written: "6d" (Gram-Schmidt) or "svd" (nearest to a 3x3 matrix).
    config.pose.residual = "6d"
    # Channels of a second such network, which sees the object turned back by the first; 0 for none.
    config.pose.second_width = 32
    # Of a network that then decides alone between the 24 rotations of the corrected object, by its
    # surface; 0 for none.
    config.pose.frame_width = 128
    # Steps of gradient descent on the negative ELBO after that, where a trained model is used.
    config.pose.refine_steps = 0

    # pose.method "search". Where data.rotations is "cube", all 24 rotations are tried instead.
    config.search = ml_collections.ConfigDict()
    config.search.restarts = 32  # random rotations that are tried
    config.search.refined = 8  # the best of them, each refined by Adam
    config.search.steps = 20  # of Adam
    config.search.learning_rate = 0.15  # radians

    config.loss = ml_collections.ConfigDict()
    # Of the KL terms of the ELBO: the shape code's to a standard normal distribution, and the pose
    # hypotheses' to a uniform one.
    config.loss.kl_weight = 1.0
    config.loss.swap_codes = True  # decode each view from the other view's code
    # Ties the poses of two views together; in units of the squared distance |R - T|_F^2. It must
    # grow with the reconstruction term, which is a sum over voxels.
    config.loss.equivariance_weight = 100.0
    config.loss.concentration = 10.0  # of a hypothesis about its rotation; 10 is about 13 degrees
    # Turns canonical forms until their faces are parallel to the grid: then the 24 hypotheses are
    # the very poses between which a box-like object is ambiguous. 0 for objects without flat faces.
    config.loss.tilt_weight = 1000.0
    config.loss.refinement_concentration = 50.0  # of the corrected rotation; 50 is about 6 degrees
    # Draws codes of alike objects together, once frames are found (`losses.neighbour_nll`).
    config.loss.alike_weight = 0.0

    # One canonical frame for alike objects: training objects are compared, and the frames on which
    # most comparisons agree become targets of the pose network (rotdis/frames.py).
    config.frames = ml_collections.ConfigDict()
    # After these shares of the steps; () never. Frames found from where the first ones have led are
    # more often right.
    config.frames.synchronize_at = (0.26, 0.55)
    config.frames.neighbours = 20  # each object is compared with so many
    config.frames.capacity = 4096  # at most so many training objects get a target
    # Objects that have one are stretched along its axes, in training, by factors whose logarithms
    # are up to this.
    config.frames.stretch = 0.0

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 1e-3  # after warm-up; decays to zero by a cosine
    config.optimizer.warmup_steps = 100
    config.optimizer.b2 = 0.99
    config.optimizer.weight_decay = 1e-2  # of matrices and kernels only
    config.optimizer.clip_norm = 1000.0  # of the gradient of the summed loss

    config.train = ml_collections.ConfigDict()
    # A trained model whose parameters the run starts from: "modelnet10", an exported file, or a
    # run's folder; "" starts from random ones.
    config.train.start_from = ""
    # Whether that model's pose networks stay as they are, so that poses cannot change but for what
    # pose.frame_width decides: the others learn, in shorter steps.
    config.train.hold_pose = False
    config.train.steps = 4000
    config.train.batch_size = 24  # objects of a step over all devices; each gives two views
    # Steps that the device does by itself, with the resident loader; a signal to stop is served
    # between two calls. It changes the speed alone.
    config.train.steps_per_call = 5
    config.train.ema_decay = 0.995  # of the parameters that are evaluated
    config.train.log_every = 20  # steps
    config.train.checkpoint_every = 100
    config.train.eval_every = 500  # on the validation split
    config.train.keep_best = 1  # checkpoints kept besides the newest, by validation IoU
    config.train.wandb = ""  # a project of Weights & Biases that gets the metrics too; "" for none

    config.eval = ml_collections.ConfigDict()
    config.eval.batch_size = 64
    config.eval.seed = 0  # of the fixed rotations of the evaluation
    config.eval.max_train = 2000  # training objects that the linear probe learns from
    # Classes whose shapes have one front; their pose metrics are pooled besides (group/oriented),
    # since on symmetric shapes a pose error measures the symmetry.
    config.eval.oriented_classes = ("bed", "chair", "monitor", "sofa", "toilet")
    # Rotations after which at least two thirds of a class's training objects look almost the same
    # (IoU 0.8; measured on ModelNet10), for the pose errors that forgive them: "CLASS:Cn", n turns
    # about the z axis, which is up, or "CLASS:Dn", half turns about horizontal axes as well.
    config.eval.symmetries = ("dresser:D2", "night_stand:C2", "table:C2")
    return config


_CHOICES = {
    "data.dataset": ("modelnet10", "modelnet40"),
    "data.loader": ("resident", "tfdata"),
    "data.rotations": ("so3", "cube", "none"),
    "model.dtype": ("float32", "bfloat16"),
    "pose.method": ("mixture", "search", "none"),
    "pose.residual": ("6d", "svd"),
}
_LARGEST = 2**63
_MAX_RESOLUTION = 512  # a grid of 0.5 GB; the networks' sizes grow with it as well
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
    "train.keep_best",
    "eval.seed",
    "eval.max_train",
)


def validate(config: ml_collections.ConfigDict) -> None:
    """Checks a configuration before anything is done with it.

    Raises:
        ConfigError: it names the key, what it holds, and what is allowed there.
    """
    values, expected = _flatten(config), _flatten(base_config())
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
    values = _flatten(config)
    for key, default in _flatten(base_config()).items():
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
    fraction = values["data.validation_fraction"]
    _require(0 <= fraction < 1, "data.validation_fraction", fraction, "in [0, 1)")
    warmup, steps = values["optimizer.warmup_steps"], values["train.steps"]
    _require(warmup < steps, "optimizer.warmup_steps", warmup, f"fewer than train.steps ({steps})")
    decay = values["train.ema_decay"]
    _require(decay < 1, "train.ema_decay", decay, "below 1")
    refined, restarts = values["search.refined"], values["search.restarts"]
    _require(
        refined <= restarts, "search.refined", refined, f"at most search.restarts ({restarts})"
    )
    _validate_symmetries(values)
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


def describe(config: ml_collections.ConfigDict) -> str:
    """Returns every field on a line of its own, as the command line would set it."""
    return "\n".join(f"--config.{key}={value!r}" for key, value in sorted(_flatten(config).items()))


def _flatten(config: ml_collections.ConfigDict, prefix: str = "") -> dict[str, object]:
    flat = {}
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


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
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"config.{key}: is {value!r}, but must be finite")
    if key == "data.resolution" and value > _MAX_RESOLUTION:
        raise ConfigError(f"config.{key}: is {value}, but must be at most {_MAX_RESOLUTION}")
    if isinstance(value, int) and abs(value) >= _LARGEST:
        raise ConfigError(f"config.{key}: is 2^{value.bit_length()} or so, but must be below 2^63")


def _require(condition: bool, key: str, value: object, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"config.{key}: is {value!r}, but must be {allowed}")
