"""Files that are written whole or not at all: for every stage that leaves files for others."""

import hashlib
import os
import tempfile
from pathlib import Path

from rotdis.errors import RotdisError


def make_folder(path: str | Path) -> None:
    """Makes a folder for results where missing, and sure, before the work, that it can be written.

    Raises:
        RotdisError: it cannot.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise RotdisError(f"--output: cannot write {path}: {error.strerror}") from error


def write(path: str | Path, content: bytes) -> None:
    """Writes a file; its folder is made where missing, and readers never see a part of it.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Any legal name can be written: the temporary one is short, whatever the length of that.
    name = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    temporary = path.parent / f".{name}.{os.getpid()}.tmp"
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is None:
            raise
        # Of the name that was asked for, not the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
