"""Checksums beside the files of a checkpoint or of shards, so that damage is found before reading.

Neither Orbax nor its storage notices most bits that flip in the parameters.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from pathlib import Path

from rotdis import atomic

NAME = "checksums.json"


def seal(folder: Path, besides: Collection[str] = ()) -> None:
    """Notes the size and the SHA-256 of every file below a folder, in a file there.

    Args:
        folder: what is complete.
        besides: names of files that may yet change.

    Raises:
        OSError: a file cannot be read, or the notes not be written.
    """
    left_out = {NAME, *besides}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    notes = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in files
        if path.name not in left_out
    }
    atomic.write(folder / NAME, (json.dumps(notes, indent=1) + "\n").encode())


def is_sealed(folder: Path) -> bool:
    """Returns whether there are checksums; folders of earlier versions have none."""
    return (folder / NAME).exists()


def find_damage(folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> str | None:
    """Returns what is wrong with the files of a sealed folder, None where nothing is.

    Files that were added later are not looked at, nor is a folder without checksums.

    Args:
        folder: the sealed folder.
        wanted: whether a file of this path in the folder is looked at.
    """
    if not is_sealed(folder):
        return None
    try:
        notes = json.loads((folder / NAME).read_text())
        expected = {name: (note["bytes"], note["sha256"]) for name, note in notes.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{NAME} cannot be read"
    for name, (size, sha256) in expected.items():
        if not wanted(name):
            continue
        try:
            found = (folder / name).stat().st_size
            if found != size:
                return f"{name} has {found} bytes instead of {size}"
            if digest(folder / name) != sha256:
                return f"{name} differs from its checksum"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
