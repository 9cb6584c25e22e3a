"""One process of a machine prepares, or downloads, what several of them need."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from rotdis.errors import DataError


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Lets one process of a machine fill a folder while others wait; a lock dies with its process.

    On file systems without locks nobody waits.

    Args:
        directory: the folder, below `config.data.dir`; made where missing.

    Raises:
        DataError: it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / "lock").open("w")
    except OSError as error:
        raise DataError(f"config.data.dir: {directory} cannot be written ({error})") from error
    with file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
