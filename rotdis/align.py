"""A folder of parts in arbitrary orientations in, the same parts in one common frame out."""

import io
import json
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy.spatial.transform import Rotation

from rotdis import mesh_files, mesh_moving, pictures, synchronize
from rotdis.data.meshes import MeshError
from rotdis.inference import BATCH, Model
from rotdis.mesh_batches import Account, Voxelized, voxelize_files
from rotdis.models.blocks import pool
from rotdis.progress import Progress
from rotdis.reconstruct import pose_matrix
from rotdis.render import CANONICAL_COLOR, INPUT_COLOR

KINDS = ("folder", "all")
_SHOWN = 48  # objects on the overview, at most
_COLUMNS = 8
# Side of the grids on which objects are compared, at most: a multiple of the model's, or that.
_COMPARED = 64


def align(
    model: Model,
    source: str | Path,
    output: str | Path,
    *,
    by: str = "folder",
    mesh_format: str | None = None,
    workers: int = 1,
) -> list[dict]:
    """Turns all meshes of a folder into a common frame and writes them.

    Each mesh is turned by the model into its canonical frame, and then all of them together so that
    similar ones agree (`rotdis.synchronize`). A mesh is turned and shifted, so that the centre of
    its smallest enclosing ball lies at the origin; it is not scaled. The frame is the one in which
    the model already puts most of them, so one mesh alone stays where `reconstruct` puts it. Some
    0.6 MB of each are held in memory: voxels at 64^3, twice, and what is compared.

    Into `output`: every mesh under its own path below the input's folder; `poses.json`, a list with
    a row for each: `file`; `pose`, 4x4, rigid, row by row, which maps the points of the original
    (columns x, y, z, 1) to those of the aligned mesh; `aligned`, the file written; `group`, a
    number: meshes of one group share a frame, and between groups there is none (by "folder" each
    folder is one group); `agreement`, the
    mean IoU of the aligned voxels with those of its most similar meshes (null if it has none; where
    it is low, it is like none, and its turn is arbitrary); and
    `turned_deg`, by how much this differs from what the model alone says; `overview.png`, the first
    eight of each of the first six folders (of a single one 48) before and after; and
    `report.json`, how many were done, and which were skipped, why.

    Args:
        model: the trained model.
        source: a mesh file, or a folder that is searched with all its subfolders.
        output: a folder, made where missing.
        by: "folder": the files of one folder are of one kind and get a frame for themselves; "all":
            all files get a common frame, as far as they are similar to others.
        mesh_format: of the meshes written, one of `mesh_files.FORMATS`; each file's own by default.
        workers: processes that read meshes; 0 is one per core.

    Returns:
        The rows of `poses.json`.

    Raises:
        DataError: there is no such file or folder, or nothing in it can be used.
        RotdisError: the output cannot be written, or a result would replace a file that no earlier
            call wrote.
        ValueError: there is no such `by`.
    """
    if by not in KINDS:
        raise ValueError(f"by is {by!r}, but must be one of {', '.join(KINDS)}")
    source, output = Path(source), Path(output)
    paths = mesh_files.find_meshes(source, output)
    names = mesh_files.relative_names(paths, source)
    targets = mesh_files.output_names(names, mesh_format)
    copies = mesh_moving.all_copies(paths, targets)
    mesh_files.prepare_output(source, output, paths, targets, copies)
    account = Account(names)
    found, voxels, alone = _read(model, paths, names, account, workers)
    account.require_some(source)
    folders = [Path(names[one.index]).parent.as_posix() for one in found]
    titles, places = np.unique(folders, return_inverse=True)
    kinds = places if by == "folder" else np.zeros(len(found), int)
    turns, group, agreement = _common_frames(voxels, alone, kinds, joined=by == "folder")
    rows = []
    with Progress(len(found), label="write", unit="file") as progress:
        for number, one in enumerate(found):
            pose = pose_matrix(one.centre, turns[number].T)
            try:
                target = targets[one.index]
                mesh_moving.write_moved(paths[one.index], pose, output / target)
            except MeshError as error:
                account.skip(names[one.index], error)
                continue
            change = Rotation.from_matrix(turns[number] @ alone[number].T).magnitude()
            fit = agreement[number]
            rows.append(
                {
                    "file": names[one.index],
                    "pose": pose.tolist(),
                    "aligned": target,
                    "group": int(group[number]),
                    "agreement": None if np.isnan(fit) else round(float(fit), 4),
                    "turned_deg": round(float(np.degrees(change)), 2),
                }
            )
            progress.update(number + 1)
    account.require_some(source)
    skipped = [
        target for name, target in zip(names, targets, strict=True) if name in account.skipped
    ]
    mesh_files.remove(output, skipped)
    mesh_files.write(output / "poses.json", (json.dumps(rows, indent=1) + "\n").encode())
    mesh_files.write(
        output / "overview.png",
        _overview(voxels, turns, places, [title.strip(".") for title in titles]),
    )
    account.close(output, "align")
    return rows


def _read(
    model: Model, paths: list[Path], names: list[str], account: Account, workers: int
) -> tuple[list[Voxelized], UInt8[np.ndarray, "n d d d"], Float[np.ndarray, "n 3 3"]]:
    """Returns the meshes that can be used, their voxels, and the model's turns of each."""
    factor = max(1, _COMPARED // model.resolution)
    kept, grids, turns = [], [], []
    batch: list[Voxelized] = []

    def finish() -> None:
        if not batch:
            return
        fine = np.stack([one.voxels for one in batch])
        rotation = model.encode(np.asarray(pool(fine, model.resolution))).rotation
        turns.append(np.swapaxes(Rotation.from_matrix(rotation).as_matrix(), 1, 2))
        grids.append(np.rint(fine * 255).astype(np.uint8))
        empty = np.zeros(0, np.float32)  # a folder's voxels are kept as bytes, once
        kept.extend(Voxelized(one.index, one.centre, one.radius, empty) for one in batch)
        batch.clear()

    size, samples = factor * model.resolution, 2 if factor == 1 else 1
    with Progress(len(paths), label="read", unit="file") as progress:
        for one in voxelize_files(paths, names, size, samples, account, workers):
            batch.append(one)
            progress.update(one.index + 1)
            if len(batch) == BATCH:
                finish()
        finish()
    if not kept:
        return [], np.zeros((0, 16, 16, 16), np.uint8), np.zeros((0, 3, 3))
    return kept, np.concatenate(grids), np.concatenate(turns)


def _common_frames(
    voxels: UInt8[np.ndarray, "n d d d"],
    alone: Float[np.ndarray, "n 3 3"],
    kinds: Int[np.ndarray, " n"],
    joined: bool,
) -> tuple[Float[np.ndarray, "n 3 3"], Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Returns each object's turn, the number of its group, and its agreement with its like."""
    turns, group = alone.copy(), np.zeros(len(alone), int)
    agreement = np.full(len(alone), np.nan)
    labels = np.unique(kinds)
    with Progress(len(labels), label="align", unit="group") as progress:
        first = 0
        for done, label in enumerate(labels):
            members = np.flatnonzero(kinds == label)
            chosen = voxels[members] if len(labels) > 1 else voxels  # which may be gigabytes
            result = synchronize.synchronize(chosen, alone[members], joined=joined)
            turns[members], group[members] = result.rotations, first + result.component
            first = group[members].max() + 1
            agreement[members] = synchronize.agreement(chosen, result)
            progress.update(done + 1)
    return turns, group, agreement


def _overview(
    voxels: UInt8[np.ndarray, "n d d d"],
    turns: Float[np.ndarray, "n 3 3"],
    places: Int[np.ndarray, " n"],
    titles: list[str],
) -> bytes:
    """Returns a picture: some of each kind as they came, and below each how it was turned."""
    rows = []
    for place, title in enumerate(titles):
        members = np.flatnonzero(places == place)
        shown = _SHOWN if len(titles) == 1 else _COLUMNS
        for start in range(0, min(len(members), shown), _COLUMNS):
            rows.append((title, members[start : start + _COLUMNS]))
    sheet, labels = [], []
    for title, members in rows[: _SHOWN // _COLUMNS]:
        volumes = voxels[members].astype(np.float32) / 255
        after = np.asarray(pictures.turn(volumes, turns[members].astype(np.float32)))
        sheet.append(pictures.draw(volumes, INPUT_COLOR, 128))
        sheet.append(pictures.draw(after, CANONICAL_COLOR, 128))
        labels += [title or "input", "" if title else "aligned"]
    stream = io.BytesIO()
    Image.fromarray(pictures.contact_sheet(sheet, labels)).save(stream, "PNG", optimize=True)
    return stream.getvalue()
