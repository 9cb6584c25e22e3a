"""The prepared data as TFDS shards: the dataset builder `modelnet_voxels`, and writing it.

The builder reads a prepared folder (`prepare`), so there is one voxelization and one place where
quirks are handled; what it adds is the standard format: several TFRecord shards a split, with the
features described, readable by `tfds.builder_from_directory` anywhere.
"""

import contextlib
import io
import os
from pathlib import Path

import numpy as np

from rotdis import intact
from rotdis.data.alone import alone
from rotdis.data.prepare import SPLITS, PreparedData

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # or it announces itself whatever the level

import tensorflow as tf  # noqa: E402
import tensorflow_datasets as tfds  # noqa: E402

RESOLUTIONS = (16, 32, 48, 64, 128)
_SHARD_BYTES = 8 << 20
_MIN_SHARDS = 4


class ModelnetVoxelsConfig(tfds.core.BuilderConfig):
    """Which objects, at which resolution, and whether as bits or as bytes."""

    def __init__(self, source: str, resolution: int, partial: bool, **kwargs):
        kind = "_partial" if partial else ""
        super().__init__(name=f"{source}_{resolution}{kind}", version="1.0.1", **kwargs)
        self.resolution, self.partial = resolution, partial


class ModelnetVoxels(tfds.core.GeneratorBasedBuilder):
    """Voxel objects: packed occupancy, label, class name, source id, and place in the split."""

    name = "modelnet_voxels"
    VERSION = tfds.core.Version("1.0.1")
    BUILDER_CONFIGS = [
        ModelnetVoxelsConfig(source, resolution, partial)
        for source in ("modelnet10", "modelnet40", "furniture")
        for resolution in RESOLUTIONS
        for partial in (False, True)
    ]

    def __init__(self, *, prepared: PreparedData, **kwargs):
        self._prepared = prepared
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        train = self._prepared.train
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=tfds.features.FeaturesDict(
                {
                    "voxels": tfds.features.Tensor(
                        shape=(train.packed.shape[1],), dtype=np.uint8, encoding="bytes"
                    ),
                    "label": tfds.features.ClassLabel(names=list(train.class_names)),
                    "class_name": tfds.features.Text(),
                    "source_id": tfds.features.Text(),
                    "index": np.int64,
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # the prepared folder is the input
        return {split: self._generate_examples(split) for split in SPLITS if self._split(split)}

    def _split(self, name: str):
        return getattr(self._prepared, name)

    def _generate_examples(self, split: str):
        data = self._split(split)
        for index in range(len(data)):
            yield (
                index,
                {
                    "voxels": data.packed[index],
                    "label": int(data.label[index]),
                    "class_name": data.class_names[data.label[index]],
                    "source_id": data.source_id[index],
                    "index": index,
                },
            )


def write_shards(prepared: PreparedData) -> Path:
    """Writes the shards of a prepared dataset beside it, where they are not there yet.

    A run that is killed leaves no half-written dataset: TFDS writes to a temporary folder first.
    Of several processes of a machine one writes, and the others find it written. Where the shards
    are complete, nothing is written.

    Returns:
        The folder that `tfds.builder_from_directory` and `pipeline` read.

    Raises:
        DataError: there are none yet, and the prepared folder cannot be written.
    """
    tf.config.set_visible_devices([], "GPU")  # or TensorFlow would reserve its memory
    tfds.disable_progress_bar()
    train = prepared.train
    source = "modelnet40" if len(train.class_names) > 10 else "modelnet10"
    if prepared.directory.name.startswith("furniture"):
        source = "furniture"
    config = ModelnetVoxelsConfig(source, train.resolution, train.partial)
    listed = config.name in ModelnetVoxels.builder_configs
    shards = max(_MIN_SHARDS, -(-train.packed.nbytes // _SHARD_BYTES))
    smallest = min(len(getattr(prepared, split)) or shards for split in SPLITS)
    with contextlib.redirect_stdout(io.StringIO()):  # nothing is downloaded, but it says so
        builder = ModelnetVoxels(
            prepared=prepared,
            data_dir=prepared.directory / "tfds",
            config=config.name if listed else config,
        )
        folder = Path(str(builder.data_path))
        if not intact.is_sealed(folder):
            with alone(prepared.directory):
                # Does nothing where another process has done it meanwhile.
                builder.download_and_prepare(
                    download_config=tfds.download.DownloadConfig(
                        num_shards=min(shards, smallest), try_download_gcs=False
                    ),
                    file_format="tfrecord",
                )
                if not intact.is_sealed(folder):
                    intact.seal(folder)
    return folder
