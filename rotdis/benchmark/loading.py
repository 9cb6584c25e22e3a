"""The input pipeline by itself: batches of either loader, on the device."""

import importlib.util
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from rotdis.benchmark import timing, training
from rotdis.data import resident
from rotdis.data.prepare import PreparedData
from rotdis.data.voxelset import VoxelSet

_OBJECTS = 2000
_BATCHES = 20  # of a timing, since one of the tf.data loader's waits in its queue


def run(config: ml_collections.ConfigDict, seconds: float) -> dict[str, float]:
    """Returns objects per second by loader; tf.data where TensorFlow is installed."""
    split = _random_split(config)
    packed = jnp.asarray(split.packed)
    batch_size = config.train.batch_size
    draw = jax.jit(lambda number: resident.draw(packed, config.seed, number, batch_size))
    functions = {"resident": lambda: [draw(number) for number in range(_BATCHES)]}
    with tempfile.TemporaryDirectory() as folder:
        if all(map(importlib.util.find_spec, ("tensorflow", "tensorflow_datasets"))):
            batches = _host_batches(config, split, Path(folder))
            functions["tf.data"] = lambda: [
                jnp.asarray(next(batches)["voxels"]) for _ in range(_BATCHES)
            ]
        times = timing.interleave(functions, seconds)
    return {name: _BATCHES * batch_size / each for name, each in times.items()}


def _random_split(config: ml_collections.ConfigDict) -> VoxelSet:
    return VoxelSet(
        packed=training.random_objects(config, _OBJECTS),
        label=np.zeros(_OBJECTS, np.int32),
        source_id=tuple(map(str, range(_OBJECTS))),
        class_names=("random",),
        resolution=config.data.resolution,
        partial=config.data.partial,
        aligned=False,
    )


def _host_batches(config: ml_collections.ConfigDict, split: VoxelSet, folder: Path):
    from rotdis.data import modelnet, pipeline  # need TensorFlow

    none = split.select(slice(0))
    prepared = PreparedData(train=split, validation=none, test=none, directory=folder, info={})
    return iter(
        pipeline.make_batches(
            modelnet.write_shards(prepared),
            "train",
            seed=config.seed,
            batch_size=config.train.batch_size,
            start_step=0,
            num_steps=10**6,
        )
    )
