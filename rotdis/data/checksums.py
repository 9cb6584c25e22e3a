"""SHA-256 of the files that preparation leaves, so that whoever reads them knows of damage."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from rotdis import atomic

NAME = "checksums.json"  # in a folder: the name of every other file -> its digest


def digest(path: Path) -> str:
    """Returns a file's SHA-256 in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(folder: Path) -> None:
    """Notes the digests of a folder's files, in the folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != NAME)
    noted = {path.name: digest(path) for path in files}
    atomic.write(folder / NAME, (json.dumps(noted, indent=1) + "\n").encode())


def damaged_file(folder: Path, wanted: Callable[[str], bool]) -> Path | None:
    """Returns the first file that is not as it was noted; None where all are, or nothing is noted.

    Args:
        folder: where `write` noted them.
        wanted: whether a file of this name is to be looked at.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        noted = dict(json.loads(path.read_text()).items())
    except (OSError, ValueError, AttributeError, RecursionError):
        return path
    for name, value in noted.items():
        if wanted(name):
            try:
                same = digest(folder / name) == value
            except OSError:
                same = False
            if not same:
                return folder / name
    return None
