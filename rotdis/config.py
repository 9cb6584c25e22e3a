"""The configuration of a run: every field with its default; `config_rules` says what is valid.

The files in `configs/` start from `base_config` and override what they need; the command line
overrides both (`--config.train.steps=100`).
"""

import ml_collections


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
    # Whether the decoder draws the canonical form at full resolution too, and turns its occupancy.
    config.model.occupancy = False
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
    # At most so many training objects get a target (and are stretched); of more, every second or
    # third does, and the frame term weighs as much less. Memory grows with its square.
    config.frames.capacity = 4096
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
    # run's folder; "" starts from random ones. What pose.frame_width and model.occupancy add to a
    # model that lacks them begins untrained.
    config.train.start_from = ""
    # Whether that model's pose networks stay as they are, so that poses cannot change but for what
    # pose.frame_width decides: the others learn, in shorter steps.
    config.train.hold_pose = False
    config.train.steps = 4000
    # In this last share of the steps, what is turned back by a pose for the networks to see is the
    # view itself, as in use; before, it is the object, so that nothing is blurred twice.
    config.train.as_used = 0.0
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


def describe(config: ml_collections.ConfigDict) -> str:
    """Returns every field on a line of its own, as the command line would set it."""
    return "\n".join(f"--config.{key}={value!r}" for key, value in sorted(flatten(config).items()))


def flatten(config: ml_collections.ConfigDict, prefix: str = "") -> dict[str, object]:
    """Returns every field by its full name, such as "train.steps"."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
