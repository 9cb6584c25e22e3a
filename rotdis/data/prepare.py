"""Turns a source into packed voxels on disk, once: in parallel, resumable, with a summary.

A prepared dataset is a folder, named after its source and a fingerprint of all that determines its
content: `{train,validation,test}.npz` and, written last, `info.json`. Until then finished chunks
lie in `chunks/`, so that a preparation that was killed goes on where it stood.
"""

import collections
import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import ml_collections
import numpy as np

from rotdis import atomic, intact, npz
from rotdis.data import chunks, modelnet_files, voxelset
from rotdis.data.alone import alone
from rotdis.data.chunks import Chunk
from rotdis.data.sources import Source, open_source
from rotdis.data.voxelset import VoxelSet
from rotdis.errors import DataError, printable

VERSION = 1  # of the content; raised when the same source gives other voxels than before
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """A dataset ready for training.

    Attributes:
        train, validation, test: its splits; validation is held out of the source's training split.
        directory: where it lies.
        info: what was done: counts, what was skipped and why, quirks, seconds.
    """

    train: VoxelSet
    validation: VoxelSet
    test: VoxelSet
    directory: Path
    info: dict


def prepare(config: ml_collections.ConfigDict) -> PreparedData:
    """Returns the dataset that `config.data` describes, prepared now where it is not yet.

    Objects that cannot be used are skipped, counted and listed.

    Raises:
        DataError: the source or the prepared folder is missing, damaged or not readable, or nothing
            in the source can be used.
    """
    source = open_source(config)
    directory = _directory(source, config)
    if not (directory / "info.json").exists():
        with alone(directory):
            if not (directory / "info.json").exists():  # another process may have done it meanwhile
                _prepare(source, config, directory)
    return _read(directory, config.aligned)


def find(config: ml_collections.ConfigDict) -> PreparedData | None:
    """Returns the dataset if it lies prepared; nothing is downloaded, prepared or written.

    Raises:
        DataError: it is damaged, or cannot be read.
    """
    if not config.source and not modelnet_files.download_path(config).exists():
        return None
    try:
        directory = _directory(open_source(config), config)
    except DataError:  # the source is not on this machine
        return None
    return _read(directory, config.aligned) if (directory / "info.json").exists() else None


def _directory(source: Source, config: ml_collections.ConfigDict) -> Path:
    identity = {
        "version": VERSION,
        "source": source.identity,
        "classes": source.class_names,
        "resolution": config.resolution,
        "supersample": config.supersample if config.partial else 1,
        "partial": config.partial,
        "validation_fraction": config.validation_fraction,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    kind = "-partial" if config.partial else ""
    name = f"{source.name}-{config.resolution}{kind}-{digest[:10]}"
    return Path(os.path.expanduser(config.dir)) / name


def _prepare(source: Source, config: ml_collections.ConfigDict, directory: Path) -> None:
    began = time.monotonic()
    items = [item for split in ("train", "test") for item in source.splits[split]]
    done = list(chunks.voxelize_all(items, config, directory / "chunks"))
    kept = np.array([i for chunk in done for i in chunk.kept], int)
    if not len(kept):
        reason = next(iter(done[0].skipped.items())) if done else ("", "it is empty")
        raise DataError(f"{source.name}: holds no usable object ({reason[0]}: {reason[1]})")
    packed = np.concatenate([chunk.packed for chunk in done if len(chunk.packed)])
    done = [dataclasses.replace(chunk, packed=packed[:0]) for chunk in done]  # once is enough
    everything = VoxelSet(
        packed=packed,
        label=np.array([source.class_names.index(items[i].class_name) for i in kept], np.int32),
        source_id=tuple(items[i].source_id for i in kept),
        class_names=source.class_names,
        resolution=config.resolution,
        partial=config.partial,
        aligned=config.aligned,
    )
    in_test = kept >= len(source.splits["train"])
    held_out = ~in_test & np.array(
        [_is_held_out(name, config.validation_fraction) for name in everything.source_id]
    )
    splits = {
        "train": everything.select(~in_test & ~held_out),
        "validation": everything.select(held_out),
        "test": everything.select(in_test),
    }
    files = {split: _write(directory / f"{split}.npz", data) for split, data in splits.items()}
    info = _describe(source, splits, done) | {
        "files": files,
        "resolution": config.resolution,
        "partial": config.partial,
        "class_names": source.class_names,
        "seconds": round(time.monotonic() - began, 1),
    }
    info = json.loads(json.dumps(info))  # as it will be read
    noted = info | {"checksum": _checksum(info)}
    atomic.write(directory / "info.json", (json.dumps(noted, indent=1) + "\n").encode())
    shutil.rmtree(directory / "chunks", ignore_errors=True)
    print(format_summary(info))


def _describe(source: Source, splits: dict[str, VoxelSet], done: Sequence[Chunk]) -> dict:
    quirks = collections.Counter()
    skipped = {}
    for chunk in done:
        quirks.update(chunk.quirks)
        skipped |= chunk.skipped
    training = [*voxelset.digests(splits["train"]), *voxelset.digests(splits["validation"])]
    return {
        "objects": {split: len(data) for split, data in splits.items()},
        "skipped": skipped,
        "quirks": dict(sorted(quirks.items())) | source.notes,
        "duplicates": {
            "within_training": len(training) - len(set(training)),
            "test_in_training": int(
                sum(
                    voxelset.duplicates(splits["test"], splits[split]).sum()
                    for split in ("train", "validation")
                )
            ),
            "under_several_labels": _ambiguous(splits.values()),
        },
    }


def _ambiguous(splits: Iterable[VoxelSet]) -> int:
    """Counts the objects whose very voxels occur under another label as well."""
    seen: dict[bytes, list[int]] = {}
    for data in splits:
        for digest, label in zip(voxelset.digests(data), data.label, strict=True):
            seen.setdefault(digest, []).append(int(label))
    return sum(len(labels) for labels in seen.values() if len(set(labels)) > 1)


def format_summary(info: dict) -> str:
    """Returns what a preparation did, for people."""
    objects = ", ".join(f"{count} {split}" for split, count in info["objects"].items())
    lines = [f"prepared {objects} objects at {info['resolution']}^3 in {info['seconds']:.0f} s"]
    lines.append(f"  skipped: {len(info['skipped'])}")
    for name, reason in list(info["skipped"].items())[:10]:
        lines.append(f"    {printable(name)}: {printable(reason)}")
    if len(info["skipped"]) > 10:
        lines.append(f"    ... {len(info['skipped']) - 10} more, all listed in info.json")
    for title in ("quirks", "duplicates"):
        found = [f"{name} {count}" for name, count in info[title].items() if count]
        lines.append(f"  {title}: {', '.join(found) or 'none'}")
    return "\n".join(lines)


def _is_held_out(source_id: str, fraction: float) -> bool:
    """Chooses by a hash, so that neither order nor number of the other objects matters."""
    digest = hashlib.sha256(source_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def _write(path: Path, data: VoxelSet) -> dict:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(
            file, packed=data.packed, label=data.label, source_id=np.array(data.source_id, str)
        )
    os.replace(temporary, path)
    return {"bytes": path.stat().st_size, "sha256": intact.digest(path)}


def _checksum(info: dict) -> str:
    return hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()


def _read(directory: Path, aligned: bool) -> PreparedData:
    info = _read_info(directory / "info.json")
    splits = {}
    for split in SPLITS:
        path = directory / f"{split}.npz"
        try:
            if intact.digest(path) != info["files"][split]["sha256"]:
                raise ValueError("its checksum differs from the one noted when it was written")
            arrays = npz.read(path)
            splits[split] = VoxelSet(
                packed=arrays["packed"],
                label=arrays["label"],
                source_id=tuple(arrays["source_id"].tolist()),
                class_names=tuple(info["class_names"]),
                resolution=info["resolution"],
                partial=info["partial"],
                aligned=aligned,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unusable(path, error) from error
    return PreparedData(**splits, directory=directory, info=info)


def _read_info(path: Path) -> dict:
    try:
        info = json.loads(path.read_text())
        # Those of before had none.
        if info.pop("checksum", None) not in (None, _checksum(info)):
            raise ValueError("its checksum differs from the one that it states")
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _unusable(path, error) from error
    return info


def _unusable(path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.errno and not isinstance(error, FileNotFoundError):
        return DataError(f"{path}: cannot be read ({error.strerror}); mend that, and start again")
    return DataError(
        f"{path}: the prepared data are damaged ({error}); delete {path.parent} and start again, "
        "they are then prepared anew"
    )
