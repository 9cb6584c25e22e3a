"""Reads NumPy archives that others wrote, or that a disk may have damaged, for every stage.

`numpy.load` believes a header: it allocates what the header claims before it looks for it, and
where the claim is too small it leaves the rest unread and the archive's checksum unchecked.
"""

import math
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

_PIECE = 1 << 20  # bytes read at once
_MOST_FOLDS = 1032  # that deflate, which numpy writes, can unfold a byte to
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class NpzError(ValueError):
    """An archive that is damaged, or holds what is not read; the message does not name the file."""


def names(source: Path | BinaryIO) -> list[str]:
    """Returns the names of an archive's arrays.

    Raises:
        NpzError: it is no archive.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            return [info.filename.removesuffix(".npy") for info in archive.infolist()]
    except Exception as error:  # damaged archives raise nearly anything
        raise NpzError(_reason(error)) from error


def read(source: Path | BinaryIO, wanted: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Reads arrays, each to its last byte, so that its checksum has been compared.

    Nothing is unpickled. Memory is that of the arrays, which is at most 1032 times the archive's
    size, and less than the machine's.

    Args:
        source: the archive's path, or the open archive.
        wanted: the names of arrays; all by default.

    Returns:
        Those of the wanted arrays that there are.

    Raises:
        NpzError: the archive is damaged, or an array is of Python objects or too large.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            # Of several members of one name the last counts, as in `zipfile`.
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            chosen = list(members) if wanted is None else [n for n in wanted if n in members]
            _check_memory(sum(members[name].file_size for name in chosen))
            return {name: _array(archive, name, members[name]) for name in chosen}
    except NpzError:
        raise
    except Exception as error:  # damaged archives raise nearly anything, SyntaxError even
        raise NpzError(_reason(error)) from error


def _array(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> np.ndarray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NpzError(f"{name} is compressed by a method that numpy does not write")
    if info.file_size > _MOST_FOLDS * info.compress_size + _PIECE:
        raise NpzError(f"{name} is said to unpack to more than its content can")
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        if version not in _HEADERS:
            raise NpzError(f"{name} is written in a format of .npy that is not read, {version}")
        shape, fortran_order, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
            raise NpzError(f"{name} holds Python objects, which are never unpickled")
        size = math.prod(shape) * dtype.itemsize
        there = info.file_size - stream.tell()
        if size != there or not dtype.itemsize:
            raise NpzError(f"{name} should have {size} bytes by its header, and has {there}")
        content = np.empty(size, np.uint8)
        for start in range(0, size, _PIECE):
            piece = stream.read(min(_PIECE, size - start))
            content[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
            if len(piece) < min(_PIECE, size - start):
                raise NpzError(f"{name} is cut short")
        stream.read(1)  # an array without elements has its checksum compared here
    return content.view(dtype).reshape(shape, order="F" if fortran_order else "C")


def _check_memory(size: int) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise NpzError(
            f"its arrays take {size / 1e9:.1f} GB, and this machine's memory is {memory / 1e9:.1f}"
        )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
