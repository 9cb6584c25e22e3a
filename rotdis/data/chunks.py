"""Voxelizes the objects of a source for `prepare`: in parallel, chunk by finished chunk.

Each finished chunk is a file, so that a preparation that was killed goes on where it stood.
"""

import collections
import concurrent.futures
import dataclasses
import errno
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import ml_collections
import numpy as np

from rotdis import npz, worker_pool
from rotdis.data import voxelset
from rotdis.data.sources import Item
from rotdis.errors import DataError, RotdisError
from rotdis.progress import Progress

_SIZE = 64  # objects


@dataclasses.dataclass(frozen=True)
class Chunk:
    """The result of some items: rows of those that could be used, and what happened to others."""

    packed: np.ndarray
    kept: list[int]  # positions in the list of items
    skipped: dict[str, str]  # source id -> reason
    quirks: dict[str, int]


def voxelize_all(
    items: Sequence[Item], config: ml_collections.ConfigDict, folder: Path
) -> Iterator[Chunk]:
    """Yields the results of all chunks in order; those done before are read, not made again.

    Args:
        items: the objects.
        config: `config.data`.
        folder: where finished chunks are kept; made where missing.

    Raises:
        DataError: a worker process was killed.
    """
    folder.mkdir(exist_ok=True)
    starts = range(0, len(items), _SIZE)
    paths = {start: folder / f"{start:07d}.npz" for start in starts}
    missing = [start for start in starts if not _is_whole(paths[start])]
    done = len(items) - sum(min(_SIZE, len(items) - start) for start in missing)
    with Progress(len(items), initial=done, label="prepare", unit="object") as progress:
        for start, chunk in _process(items, missing, config):
            _write_chunk(paths[start], chunk)
            done += min(_SIZE, len(items) - start)
            progress.update(done)
    for start in starts:
        yield _read_chunk(paths[start])


def _process(
    items: Sequence[Item], starts: Sequence[int], config: ml_collections.ConfigDict
) -> Iterator[tuple[int, Chunk]]:
    supersample = config.supersample if config.partial else 1
    arguments = [
        (start, items[start : start + _SIZE], config.resolution, supersample, config.partial)
        for start in starts
    ]
    workers = min(config.workers or os.cpu_count() or 1, len(starts))
    if workers <= 1:
        yield from (_process_chunk(*each) for each in arguments)
        return
    advice = "; what is done is kept: run again with --config.data.workers=1"
    with worker_pool.started(workers, "prepares objects", advice) as submit:
        futures = [submit(_process_chunk, *each) for each in arguments]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()


def _process_chunk(
    start: int, items: Sequence[Item], resolution: int, supersample: int, partial: bool
) -> tuple[int, Chunk]:
    grids, kept, skipped, quirks = [], [], {}, collections.Counter()
    for offset, item in enumerate(items):
        if worker_pool.stopping():
            break
        try:
            grid, found = item.payload.voxels(resolution, supersample)
            if not (grid > 0.5).any():
                raise DataError("no voxel is more than half full")
        except ImportError:
            raise  # a package is missing: it is not this object's fault
        except MemoryError:
            skipped[item.source_id] = "there is not enough memory for it"
            continue
        except Exception as error:  # whatever a library makes of one odd mesh costs that mesh alone
            if (reason := _storage_fault(error)) is not None:
                raise DataError(
                    f"{item.source_id}: cannot be read ({reason}); what is prepared is kept: mend "
                    "that and run again"
                ) from error
            if isinstance(error, RotdisError):
                skipped[item.source_id] = str(error)
                continue
            skipped[item.source_id] = f"{type(error).__name__}: {error}"
            continue
        grids.append(voxelset.pack(grid[None], partial)[0])
        kept.append(start + offset)
        quirks.update(found)
    width = resolution**3 if partial else -(-(resolution**3) // 8)
    packed = np.stack(grids) if grids else np.zeros((0, width), np.uint8)
    return start, Chunk(packed, kept, skipped, dict(quirks))


def _storage_fault(error: BaseException | None) -> str | None:
    """What a disk or network said, where an error comes from one and not from what a file holds."""
    while error is not None:
        # A damaged zip leads to places before its begin.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            return error.strerror
        error = error.__cause__
    return None


def _write_chunk(path: Path, chunk: Chunk) -> None:
    notes = json.dumps({"kept": chunk.kept, "skipped": chunk.skipped, "quirks": chunk.quirks})
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.savez(file, packed=chunk.packed, notes=notes)
    os.replace(temporary, path)


def _is_whole(path: Path) -> bool:
    """Whether a chunk was written to its end; a power failure may tear even a renamed file."""
    try:
        _read_chunk(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return True


def _read_chunk(path: Path) -> Chunk:
    arrays = npz.read(path)
    chunk = Chunk(arrays["packed"], **json.loads(str(arrays["notes"])))
    if chunk.packed.dtype != np.uint8 or len(chunk.packed) != len(chunk.kept):
        raise ValueError(f"{path}: its arrays do not fit together")
    return chunk
