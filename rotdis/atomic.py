"""Files that are written whole or not at all: for every stage that leaves files for others."""

import hashlib
import os
from pathlib import Path


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
    finally:
        temporary.unlink(missing_ok=True)
