"""Reads VoxNet-style archives of voxel grids: X_train, y_train, X_test, y_test."""

import dataclasses
import re
import zipfile
from pathlib import Path

import numpy as np

from rotdis import npz
from rotdis.data.normalize import normalize_grid
from rotdis.data.sources import CLASSES_10, Item, Source, archive_identity
from rotdis.errors import DataError

_NAME = re.compile(r"[\w-]{1,60}")  # metrics and pictures are named after classes
_MOST_CLASSES = 10_000  # the largest data sets of 3-D objects have some 1,200


@dataclasses.dataclass(frozen=True)
class _Grid:
    grid: np.ndarray  # booleans

    def voxels(self, resolution: int, supersample: int):
        del supersample  # the normalization samples as finely as the grid itself asks for
        return normalize_grid(self.grid, resolution), ()


def open_npz(path: Path) -> Source:
    """Opens an archive; grids are occupied where above zero, of any integer or boolean type.

    Labels index the archive's array `class_names`, if it has one (text, a name for each label);
    else ModelNet10's classes in alphabetical order where there are at most ten; else classes are
    named by number.

    Raises:
        DataError: it is damaged, or holds other arrays or labels; the message names those found.
    """
    splits, labels = {}, []
    arrays = _read(path)
    for split in ("train", "test"):
        grids, y = arrays[f"X_{split}"], arrays[f"y_{split}"]
        _check(path, split, grids, y)
        labels.append(y)
        splits[split] = (grids, y)
    count = int(max((y.max() for y in labels if len(y)), default=0)) + 1
    if "class_names" in arrays:
        names = _class_names(path, arrays["class_names"], count)
    else:
        names = CLASSES_10 if count <= 10 else tuple(f"class_{i:02d}" for i in range(count))
    with zipfile.ZipFile(path) as archive:
        identity = archive_identity(path, archive.infolist())
    return Source(
        name=path.stem,
        identity=identity,
        class_names=names,
        splits={
            split: [
                Item(f"{split}/{row:05d}", names[int(label)], _Grid(grid > 0))
                for row, (grid, label) in enumerate(zip(grids, y, strict=True))
            ]
            for split, (grids, y) in splits.items()
        },
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    expected = ("X_train", "y_train", "X_test", "y_test")
    try:
        names = npz.names(path)
        arrays = npz.read(path, (*expected, "class_names"))
    except npz.NpzError as error:
        raise DataError(f"{path}: cannot be read as a .npz archive ({error})") from error
    if not set(expected) <= arrays.keys():
        raise DataError(
            f"{path}: is not a VoxNet-style archive: it holds the arrays "
            f"{', '.join(names)[:200] or '(none)'}, but {', '.join(expected)} are needed"
        )
    return arrays


def _class_names(path: Path, names: np.ndarray, count: int) -> tuple[str, ...]:
    if names.dtype.kind != "U" or names.ndim != 1 or len(set(names)) < max(len(names), count):
        raise DataError(
            f"{path}: class_names must hold {count} different names, one for each label from 0, "
            f"as text, not {names.dtype} {names.shape}"
        )
    bad = [name for name in names.tolist() if not _NAME.fullmatch(name)]
    if bad:
        raise DataError(
            f"{path}: class_names may hold letters, digits, _ and -, at most 60, unlike {bad[0]!r}"
        )
    return tuple(names.tolist())


def _check(path: Path, split: str, grids: np.ndarray, labels: np.ndarray) -> None:
    grids_right = grids.dtype.kind in "biu" and grids.ndim == 4 and len(set(grids.shape[1:])) == 1
    if not grids_right:
        raise DataError(
            f"{path}: X_{split} must hold cubic grids (N, D, D, D) of integers, "
            f"not {grids.dtype} {grids.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != grids.shape[:1] or (labels < 0).any():
        raise DataError(
            f"{path}: y_{split} must hold one non-negative integer for each of the {len(grids)} "
            f"grids, not {labels.dtype} {labels.shape}"
        )
    if len(labels) and labels.max() >= _MOST_CLASSES:
        raise DataError(
            f"{path}: y_{split} must number the classes from 0, so that all are below "
            f"{_MOST_CLASSES:,}; the largest is {labels.max():,}"
        )
