"""What it costs to encode an object by each way to find its pose, beside the plain VAE."""

import functools

import ml_collections

from rotdis import step
from rotdis.benchmark import timing, training
from rotdis.data import voxelset
from rotdis.inference import BATCH, Model
from rotdis.models import rotation_vae

PLAIN = "plain VAE"
# -> pose.method, and data.rotations, which says over what is searched.
_METHODS = {
    PLAIN: ("none", "so3"),
    "mixture": ("mixture", "so3"),
    "search, 24 rotations": ("search", "cube"),
    "search, all rotations": ("search", "so3"),
}


def run(config: ml_collections.ConfigDict, seconds: float) -> dict[str, float]:
    """Returns the seconds for an object of a full batch by method, NumPy arrays in and out.

    All models are those of the configuration but for the method, untrained: the time does not
    depend on the parameters.
    """
    objects = voxelset.unpack(
        training.random_objects(config, BATCH), config.data.resolution, config.data.partial
    )
    functions = {}
    for name, (method, rotations) in _METHODS.items():
        own = config.copy_and_resolve_references()
        own.pose.method, own.data.rotations = method, rotations
        model = Model(own, step.init_state(rotation_vae.create(own), own).params)
        functions[name] = functools.partial(model.encode, objects)
    # A search takes seconds to minutes: no more rounds than a median needs.
    times = timing.interleave(functions, seconds, min_rounds=3, untimed=1)
    return {name: each / BATCH for name, each in times.items()}
