"""A folder of meshes on its way into a model: read and voxelized, batch by batch, the bad left out.

Also keeps the account that every such command ends with: what was done, and what was not and why.
"""

import collections
import dataclasses
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from rotdis import mesh_files, worker_pool
from rotdis.data import meshes, normalize, voxelize
from rotdis.errors import DataError, RotdisError

# Meshes that are worth starting processes for, which takes seconds.
_MANY = 64
# Meshes that each process may be ahead of the model: their voxels are kept.
_AHEAD = 16


@dataclasses.dataclass(frozen=True)
class Voxelized:
    """One mesh as a model takes it.

    Attributes:
        index: its place in the list of files.
        centre: of its smallest enclosing ball, in the file's coordinates.
        radius: of that ball, in the file's units.
        voxels: normalized occupancy in [0, 1].
    """

    index: int
    centre: Float[np.ndarray, " 3"]
    radius: float
    voxels: Float[np.ndarray, "d d d"]


@dataclasses.dataclass
class Account:
    """What became of each file."""

    names: list[str]
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)  # name -> reason

    def skip(self, name: str, reason: object) -> None:
        """Notes that a file cannot be used."""
        self.skipped[name] = str(reason)

    @property
    def done(self) -> list[str]:
        """The files that were not skipped."""
        return [name for name in self.names if name not in self.skipped]

    def require_some(self, source: str | Path) -> None:
        """Raises where every file was skipped.

        Raises:
            DataError: it names the first file's reason.
        """
        if not self.done:
            first = next(iter(self.skipped.values()))
            raise DataError(f"{source}: none of its {len(self.names)} meshes can be used: {first}")

    def close(self, output: Path, task: str) -> None:
        """Writes `report.json` and says in a last line how it went."""
        rows = [{"file": name, "reason": reason} for name, reason in self.skipped.items()]
        report = {
            "task": task,
            "files": len(self.names),
            "done": len(self.done),
            "skipped": rows,
        }
        mesh_files.write(output / "report.json", (json.dumps(report, indent=1) + "\n").encode())
        for row in rows[:10]:
            print(f"skipped: {row['reason']}")
        if len(rows) > 10:
            print(f"... and {len(rows) - 10} more")
        line = f"{task}: {len(self.done)} of {len(self.names)} done in {output}"
        print(f"{line}, {len(rows)} skipped: see {output / 'report.json'}" if rows else line)


def voxelize_files(
    paths: Sequence[Path],
    names: Sequence[str],
    resolution: int,
    supersample: int,
    account: Account,
    workers: int = 1,
) -> Iterator[Voxelized]:
    """Yields the meshes in order; one that cannot be used is noted in the account instead.

    Args:
        paths: mesh files.
        names: what messages call them.
        resolution: D.
        supersample: of open meshes, as for `voxelize.voxelize_part`.
        account: where bad files are noted.
        workers: processes; 0 is one per core. Few files are read by this one all the same.

    Raises:
        DataError: a process was killed.
    """
    workers = min(workers or os.cpu_count() or 1, len(paths) // _MANY + 1)
    jobs = [
        (str(path), name, resolution, supersample) for path, name in zip(paths, names, strict=True)
    ]
    for index, result in enumerate(_results(jobs, workers)):
        if isinstance(result, str):
            account.skip(names[index], result)
        else:
            centre, radius, voxels = result
            yield Voxelized(index, centre, radius, voxels)


def _results(jobs: list[tuple], workers: int) -> Iterator[tuple | str]:
    if workers <= 1:
        yield from (_voxelized(*job) for job in jobs)
        return
    waiting = collections.deque()
    with worker_pool.started(workers, "reads meshes") as submit:
        for job in jobs:
            if len(waiting) == _AHEAD * workers:
                yield waiting.popleft().result()
            waiting.append(submit(_voxelized, *job))
        while waiting:
            yield waiting.popleft().result()


def _voxelized(path: str, name: str, resolution: int, supersample: int) -> tuple | str:
    """Returns centre, radius and voxels of a file, or why it cannot be used."""
    if worker_pool.stopping():
        return "stopped"
    try:
        mesh = meshes.load_mesh(path, name=name).mesh
        centre, radius = normalize.enclosing_ball(mesh.vertices)
        return centre, radius, voxelize.voxelize_part(mesh, resolution, supersample)
    except ImportError:
        raise  # a package is missing: it is not this file's fault
    except RotdisError as error:
        return str(error)
    except Exception as error:  # whatever a library makes of one odd mesh costs that mesh alone
        return f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
