"""A trained model in use: objects per second that are encoded, canonicalized and decoded."""

import functools

import jax
import ml_collections
import numpy as np

from rotdis import step
from rotdis.benchmark import timing, training
from rotdis.data import voxelset
from rotdis.geometry import so3
from rotdis.inference import Model
from rotdis.models import rotation_vae

BATCH_SIZES = (1, 256)


def run(config: ml_collections.ConfigDict, seconds: float) -> dict[int, dict[str, float]]:
    """Returns objects per second by batch size and operation, NumPy arrays in and out."""
    model = Model(config, step.init_state(rotation_vae.create(config), config).params)
    objects = voxelset.unpack(
        training.random_objects(config, max(BATCH_SIZES)),
        config.data.resolution,
        config.data.partial,
    )
    rotations = np.asarray(so3.random_uniform(jax.random.key(0), (len(objects),)))
    codes = np.zeros((len(objects), model.latent_size), np.float32)
    speeds = {}
    for count in BATCH_SIZES:
        functions = {
            "encode": functools.partial(model.encode, objects[:count]),
            "canonicalize": functools.partial(model.canonicalize, objects[:count]),
            "decode": functools.partial(model.decode, codes[:count], rotations[:count]),
        }
        times = timing.interleave(functions, seconds)
        speeds[count] = {name: count / each for name, each in times.items()}
    return speeds
