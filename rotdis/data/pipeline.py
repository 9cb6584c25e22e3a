"""The tf.data loader: TFDS shards -> packed batches on the host, in the order of `order`.

Shards are read once, in parallel, into host memory; batches are then gathered by index, so that a
resume at any step costs nothing and the batches are those of the device-resident loader.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from rotdis import intact
from rotdis.data.order import batch_indices
from rotdis.data.prepare import SPLITS
from rotdis.errors import DataError, UsageError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # or it announces itself whatever the level

import tensorflow as tf  # noqa: E402
import tensorflow_datasets as tfds  # noqa: E402

_FEATURES = "tensorflow_datasets.core.features."  # where its own kinds of features are


def make_batches(
    directory: str | Path,
    split: str,
    *,
    seed: int,
    batch_size: int,
    start_step: int,
    num_steps: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields this process's part of the global batches of the steps from `start_step` on.

    Args:
        directory: a TFDS dataset folder, as `modelnet.write_shards` returns it.
        split: "train", "validation" or "test".
        seed: of the order.
        batch_size: B, of the global batch.
        start_step: the first step; any step resumes exactly.
        num_steps: how many steps.
        process_index: which contiguous slice of each batch.
        process_count: of how many; it must divide B.

    Yields:
        "voxels" (B / processes, bytes) uint8, packed, and "label" (B / processes,) int32.

    Raises:
        DataError: a shard is missing or damaged.
        UsageError: JAX was told to leave out the CPU.
        ValueError: `process_count` does not divide `batch_size`.
    """
    if batch_size % process_count:
        raise ValueError(f"{process_count} processes cannot share a batch of {batch_size}")
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise UsageError(
            "--config.data.loader=tfdata needs JAX's CPU beside the accelerator: "
            "set JAX_PLATFORMS=cuda,cpu (or tpu,cpu), or leave it unset"
        ) from error
    voxels, label = _read(Path(directory), split)
    local = batch_size // process_count
    mine = slice(process_index * local, (process_index + 1) * local)

    def indices():
        for step in range(start_step, start_step + num_steps):
            # On the host: on the training's device it would queue behind the steps. The choice is
            # a thread's own, and tf.data goes on with a generator in any of its threads.
            with jax.default_device(host):
                batch = np.asarray(batch_indices(seed, step, len(label), batch_size))
            yield batch[mine]

    options = tf.data.Options()
    options.deterministic = True
    with tf.device("CPU"):
        voxels, label = tf.constant(voxels), tf.constant(label)
        batches = (
            tf.data.Dataset.from_generator(
                indices, output_signature=tf.TensorSpec((local,), tf.int32)
            )
            .map(
                lambda index: {
                    "voxels": tf.gather(voxels, index),
                    "label": tf.gather(label, index),
                },
                num_parallel_calls=tf.data.AUTOTUNE,
            )
            .prefetch(4)
            .with_options(options)
        )
    yield from batches.as_numpy_iterator()


def _read(directory: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads a whole split, ordered by its objects' places."""
    tf.config.set_visible_devices([], "GPU")  # or TensorFlow would reserve its memory
    others = [f"-{other}.tfrecord-" for other in SPLITS if other != split]
    damage = intact.find_damage(directory, lambda name: not any(other in name for other in others))
    if damage:
        raise _unreadable(directory, directory, split, damage)
    try:
        _check_features(directory / "features.json")
        builder = tfds.builder_from_directory(str(directory))
        dataset = builder.as_dataset(split=split, shuffle_files=False)
        rows = list(dataset.batch(256).prefetch(2).as_numpy_iterator())
    except Exception as error:  # damaged files raise nearly anything in TensorFlow and TFDS
        reason = " ".join(str(error).split())[:300]
        raise _unreadable(_damaged_file(directory, split), directory, split, reason) from error
    index = np.concatenate([row["index"] for row in rows])
    if not np.array_equal(np.sort(index), np.arange(builder.info.splits[split].num_examples)):
        raise DataError(
            f"{directory}: objects of the split {split!r} are missing; delete that folder"
        )
    order = np.argsort(index)
    voxels = np.concatenate([row["voxels"] for row in rows])[order]
    return voxels, np.concatenate([row["label"] for row in rows])[order].astype(np.int32)


def _unreadable(path: Path, directory: Path, split: str, reason: str) -> DataError:
    return DataError(
        f"{path}: the shards of the split {split!r} cannot be read ({reason}); "
        f"delete {directory}, they are then written anew"
    )


def _check_features(path: Path) -> None:
    """Raises ValueError where TFDS would import a module of someone else: it imports what is named.

    Raises:
        OSError: there is no such file.
    """

    def check(fields: dict) -> dict:
        name = fields.get("pythonClassName", fields.get("type", _FEATURES))
        if not str(name).startswith(_FEATURES):
            raise ValueError(f"{path.name} names {name!r}, which is no feature of TFDS")
        return fields

    json.loads(path.read_text(), object_hook=check)


def _damaged_file(directory: Path, split: str) -> Path:
    """Returns the first shard that cannot be read, which TensorFlow does not say; or the folder."""
    for path in sorted(directory.glob(f"*-{split}.tfrecord-*")):
        try:
            records = sum(1 for _ in tf.data.TFRecordDataset(str(path)))
        except tf.errors.OpError:
            return path
        if not records:
            return path
    return directory
