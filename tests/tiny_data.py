"""Sources small enough for tests: arrays of boxes, OFF boxes, and the options that read them."""

import zipfile
from pathlib import Path

import ml_collections
import numpy as np

from rotdis.config import base_config

_FACES = (
    (0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3),
)  # fmt: skip


def data_config(source: str | Path, directory: Path, **overrides) -> ml_collections.ConfigDict:
    """Returns `config.data` for 16^3 bits, prepared in this process."""
    config = base_config().data
    config.source, config.dir = str(source), str(directory)
    config.resolution, config.partial, config.workers = 16, False, 1
    config.update(overrides)
    return config


def box_grids(count: int, size: int = 12, seed: int = 0) -> np.ndarray:
    """Returns `count` grids that differ from each other, each with one box."""
    random = np.random.default_rng(seed)
    grids: dict[bytes, np.ndarray] = {}
    while len(grids) < count:
        grid = np.zeros((size,) * 3, np.uint8)
        low = random.integers(1, 4, 3)
        high = random.integers(6, size, 3)
        grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
        grids[grid.tobytes()] = grid
    return np.stack(list(grids.values()))


def write_npz(path: Path, num_train: int = 12, num_test: int = 4, **overrides) -> Path:
    """Writes a VoxNet-style archive with three classes; `overrides` replace its arrays."""
    grids = box_grids(num_train + num_test)
    labels = np.arange(num_train + num_test) % 3
    arrays = {
        "X_train": grids[:num_train],
        "y_train": labels[:num_train],
        "X_test": grids[num_train:],
        "y_test": labels[num_train:],
    }
    np.savez_compressed(path, **(arrays | overrides))
    return path


def off_box(sides=(1.0, 2.0, 3.0), header: str = "OFF\n") -> str:
    """Returns a box as an OFF file of quadrilaterals."""
    corners = [(x, y, z) for x in (0, sides[0]) for y in (0, sides[1]) for z in (0, sides[2])]
    lines = [" ".join(map(str, corner)) for corner in corners]
    lines += ["4 " + " ".join(map(str, face)) for face in _FACES]
    return f"{header}8 6 0\n" + "\n".join(lines) + "\n"


def modelnet_files(per_split: int = 2) -> dict[str, str]:
    """Returns a small ModelNet, path in it -> text."""
    return {
        f"{name}/{split}/{name}_{index:04d}.off": off_box((1 + row, 2 + index, 3 + number))
        for row, name in enumerate(("bed", "chair"))
        for number, split in enumerate(("train", "test"))
        for index in range(per_split)
    }


def write_folder(folder: Path, files: dict[str, str]) -> Path:
    """Writes the files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def write_zip(path: Path, files: dict[str, str], prefix: str = "ModelNet10/") -> Path:
    """Writes the files as Princeton ships them: below one folder, with a Mac's leftovers."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{prefix}.DS_Store", "x")
        archive.writestr(f"{prefix}README.txt", "ModelNet")
        for name, text in files.items():
            archive.writestr(prefix + name, text)
            folder, file = name.rsplit("/", 1)
            archive.writestr(f"__MACOSX/{prefix}{folder}/._{file}", "Mac OS X")
    return path
