"""Where objects come from: one interface over generated objects, archives, folders and arrays."""

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import ml_collections
import numpy as np
from jaxtyping import Float

from rotdis.errors import DataError

CLASSES_10 = (
    "bathtub", "bed", "chair", "desk", "dresser",
    "monitor", "night_stand", "sofa", "table", "toilet",
)  # fmt: skip
SPLITS = ("train", "test")


class Payload(Protocol):
    """What makes an object's voxels; it travels to a worker process, so it is picklable."""

    def voxels(self, resolution: int, supersample: int) -> tuple[Float[np.ndarray, "d d d"], tuple]:
        """Returns the normalized grid, and the names of the quirks that were mended.

        Raises:
            RotdisError: the object cannot be used; the message says why.
        """


@dataclasses.dataclass(frozen=True)
class Item:
    """One object of a source, not yet voxelized."""

    source_id: str
    class_name: str
    payload: Payload


@dataclasses.dataclass(frozen=True)
class Source:
    """All objects of a source.

    Attributes:
        name: short, for the prepared folder's name.
        identity: everything that determines the objects (paths, sizes, times, checksums,
            parameters).
        class_names: the classes, in the order of the labels.
        splits: "train" and "test" -> their objects.
        notes: quirks of the source as a whole, counted.
    """

    name: str
    identity: dict
    class_names: tuple[str, ...]
    splits: dict[str, Sequence[Item]]
    notes: dict[str, int] = dataclasses.field(default_factory=dict)


def open_source(config: ml_collections.ConfigDict) -> Source:
    """Opens the source that `config.data` names.

    Raises:
        DataError: it is missing, or not what its name says.
    """
    if config.source == "furniture":
        return _furniture(config)
    from rotdis.data import modelnet_files, voxnet_npz

    if not config.source:
        return _keep(modelnet_files.open_zip(modelnet_files.download(config)), config.classes)
    path = Path(os.path.expanduser(config.source))  # ~nobody stays as it is
    if not path.exists():
        raise DataError(
            f"config.data.source: there is no {path}; give the path of a ModelNet zip, of a folder "
            'CLASS/{train,test}/*.off or of a VoxNet-style .npz, or "furniture"'
        )
    if path.is_dir():
        source = modelnet_files.open_folder(path)
    elif path.suffix == ".npz":
        source = voxnet_npz.open_npz(path)
    elif path.suffix == ".zip":
        source = modelnet_files.open_zip(path)
    else:
        raise DataError(
            f"config.data.source: {path} is neither a .zip, nor a folder, nor a .npz file"
        )
    return _keep(source, config.classes)


def file_identity(path: Path) -> dict:
    """Returns what tells a file in its folder from another version of it, without reading it."""
    status = path.stat()
    return {"name": path.name, "bytes": status.st_size, "modified": status.st_mtime_ns}


def archive_identity(path: Path, members: Iterable[zipfile.ZipInfo]) -> dict:
    """Returns what tells a zip or npz from one of other content, of the same name, size and time.

    That is the checksums which it keeps of its members, so nothing but its directory is read.
    """
    digest = hashlib.sha256()
    for info in sorted(members, key=lambda info: info.filename):
        digest.update(f"{info.filename}\0{info.file_size}\0{info.CRC}\n".encode())
    # What lies in the members may be damaged, so that a whole copy counts as another.
    return file_identity(path) | {"members": digest.hexdigest()}


def _keep(source: Source, classes: Sequence[str]) -> Source:
    if not classes:
        return source
    unknown = sorted(set(classes) - set(source.class_names))
    if unknown:
        raise DataError(
            f"config.data.classes: the source has no class {', '.join(unknown)}; it has "
            f"{', '.join(source.class_names)}"
        )
    return dataclasses.replace(
        source,
        class_names=tuple(name for name in source.class_names if name in classes),
        splits={
            split: [item for item in items if item.class_name in classes]
            for split, items in source.splits.items()
        },
    )


@dataclasses.dataclass(frozen=True)
class _Generated:
    class_name: str
    seed: int

    def voxels(self, resolution: int, supersample: int):
        from rotdis.data import furniture, voxelize

        mesh = furniture.make_object(self.class_name, self.seed)
        return voxelize.voxelize(mesh, resolution, supersample), ()


def _furniture(config: ml_collections.ConfigDict) -> Source:
    from rotdis.data import furniture

    names = tuple(dict.fromkeys(config.classes)) or furniture.CLASSES
    splits = {}
    for split, count in (("train", config.num_train), ("test", config.num_test)):
        splits[split] = [
            Item(
                f"{split}/{name}_{index:05d}",
                name,
                _Generated(name, furniture.object_seed(split, name, index, config.seed)),
            )
            for name_index, name in enumerate(names)
            for index in range(len(range(name_index, count, len(names))))
        ]
    identity = {"version": 1, "seed": config.seed, "train": config.num_train}
    return Source("furniture", identity | {"test": config.num_test}, names, splits)
