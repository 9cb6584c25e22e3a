"""A trained model on the user's meshes: pose, canonical mesh, reconstruction, code of each."""

import dataclasses
import io
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from PIL import Image
from scipy.spatial.transform import Rotation

from rotdis import mesh_files, mesh_moving, pictures, surfaces
from rotdis.data import meshes, normalize, voxelize
from rotdis.inference import BATCH, Model
from rotdis.mesh_batches import Account, Voxelized, voxelize_files
from rotdis.mesh_files import SUFFIXES, find_meshes
from rotdis.progress import Progress
from rotdis.render import CANONICAL_COLOR, INPUT_COLOR, RECONSTRUCTION_COLOR

if TYPE_CHECKING:
    import trimesh

__all__ = ["SUFFIXES", "Reconstruction", "find_meshes", "infer", "pose_matrix", "reconstruct"]

# Hypotheses nearer to each other than this are one pose; their weights add up.
SAME_POSE = 30.0  # degrees


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """What a model says of one mesh.

    Attributes:
        pose: the rigid motion that maps the mesh's points into the canonical frame; the centre of
            its smallest enclosing ball goes to the origin. No scaling: units are the mesh's own.
        weight: the share of the pose posterior that lies within 30 degrees of it; None where the
            model has no posterior.
        runner_up: the heaviest hypothesis that is another pose (farther off than 30 degrees), as
            such a motion; None where there is none.
        runner_up_weight: the share of the posterior within 30 degrees of it that is not counted in
            `weight`.
        z: code of the shape, the same for every orientation.
        occupancy: the decoded shape in the canonical frame, probabilities.
        radius: of the smallest enclosing ball, in the mesh's units.
    """

    pose: Float[np.ndarray, "4 4"]
    weight: float | None
    runner_up: Float[np.ndarray, "4 4"] | None
    runner_up_weight: float | None
    z: Float[np.ndarray, " l"]
    occupancy: Float[np.ndarray, "d d d"]
    radius: float

    def mesh(self) -> "trimesh.Trimesh":
        """Returns the reconstruction as a mesh, in the canonical frame and the mesh's units."""
        return surfaces.surface(self.occupancy, self.radius)


def infer(
    model: Model,
    sources: "Iterable[trimesh.Trimesh | trimesh.Scene | str | Path] | str | Path",
) -> list[Reconstruction]:
    """Infers the poses and shapes of meshes; nothing is written.

    `mesh.apply_transform(result.pose)` turns a mesh upright into the canonical frame.

    Args:
        model: the trained model.
        sources: meshes, or paths of mesh files; or one of either.

    Raises:
        MeshError: one of them is damaged or encloses no volume.
    """
    one = isinstance(sources, str | Path) or not isinstance(sources, Iterable)
    found = []
    for index, source in enumerate([sources] if one else sources):
        load = meshes.load_mesh if isinstance(source, str | Path) else meshes.clean_mesh
        mesh = load(source).mesh
        centre, radius = normalize.enclosing_ball(mesh.vertices)
        voxels = voxelize.voxelize_part(mesh, model.resolution)
        found.append(Voxelized(index, centre, radius, voxels))
    return _infer(model, found) if found else []


def reconstruct(
    model: Model,
    source: str | Path,
    output: str | Path,
    *,
    mesh_format: str | None = None,
    workers: int = 1,
) -> list[dict]:
    """Infers the pose of every mesh of a folder and writes what follows from it.

    Into `output`, for a mesh NAME (its path below the folder):

    - `canonical/NAME`: the mesh turned upright into the canonical frame, units as they were;
    - `reconstruction/NAME`: what the model makes of it, in the same frame and units;
    - `pictures/NAME.png`: the input, its canonical form, the reconstruction;
    - `poses.json`, a list with a row for each mesh: `file`; `pose`, 4x4, rigid, row by row, which
      maps the mesh's points (columns x, y, z, 1) into the canonical frame, the centre of the
      smallest enclosing ball to the origin; `weight`, the share of the pose posterior within 30
      degrees; `runner_up`, the heaviest other pose, likewise with `pose` and `weight` (both are
      null for a model without a posterior); and `canonical`, `reconstruction` (null where it has
      no surface) and `picture`, the files written for it;
    - `codes.npz`: `z_mean` (N, L), the codes of all, and `source`, the files that they are of;
    - `report.json`: how many were done, and which were skipped, why.

    Args:
        model: the trained model.
        source: a mesh file, or a folder that is searched with all its subfolders.
        output: a folder, made where missing.
        mesh_format: of the meshes written, one of `mesh_files.FORMATS`; each file's own by default.
        workers: processes that read meshes; 0 is one per core.

    Returns:
        The rows of `poses.json`.

    Raises:
        DataError: there is no such file or folder, or nothing in it can be used.
        RotdisError: the output cannot be written, or a result would replace a file that no earlier
            call wrote.
    """
    source, output = Path(source), Path(output)
    paths = find_meshes(source, output)
    names = mesh_files.relative_names(paths, source)
    targets = mesh_files.output_names(names, mesh_format)
    files = {
        name: (f"canonical/{target}", f"reconstruction/{target}", f"pictures/{name}.png")
        for name, target in zip(names, targets, strict=True)
    }
    copies = mesh_moving.all_copies(paths, [canonical for canonical, _, _ in files.values()])
    planned = list(itertools.chain(*files.values()))
    mesh_files.prepare_output(source, output, paths, planned, copies)
    account = Account(names)
    rows, codes, batch = [], [], []
    with Progress(len(paths), label="reconstruct", unit="file") as progress:

        def finish() -> None:
            for one, result, sheet in _with_pictures(model, batch):
                name = names[one.index]
                row = _write(result, sheet, paths[one.index], name, files[name], output, account)
                if row is not None:
                    rows.append(row)
                    codes.append(result.z)
                progress.update(one.index + 1)
            batch.clear()

        for one in voxelize_files(paths, names, model.resolution, 2, account, workers):
            batch.append(one)
            if len(batch) == BATCH:
                finish()
        finish()
    account.require_some(source)
    mesh_files.remove(output, [file for name in account.skipped for file in files[name]])
    mesh_files.write(output / "poses.json", (json.dumps(rows, indent=1) + "\n").encode())
    archive = io.BytesIO()
    np.savez(archive, source=[row["file"] for row in rows], z_mean=np.stack(codes))
    mesh_files.write(output / "codes.npz", archive.getvalue())
    account.close(output, "reconstruct")
    return rows


def pose_matrix(
    centre: Float[np.ndarray, " 3"], rotation: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "4 4"]:
    """Returns the rigid motion of an object with inferred `rotation` into the canonical frame."""
    # The networks' matrices are rotations to single precision; the user's coordinates have more.
    back = Rotation.from_matrix(rotation).as_matrix().T
    pose = np.eye(4)
    pose[:3, :3] = back
    pose[:3, 3] = -back @ centre
    return pose


def _infer(model: Model, found: Sequence[Voxelized]) -> list[Reconstruction]:
    code = model.encode(np.stack([one.voxels for one in found]))
    upright = np.broadcast_to(np.eye(3, dtype=np.float32), code.rotation.shape)
    # A model that was trained without poses decodes the object as it lies.
    occupancy = model.decode(code.z_mean, upright)
    results = []
    for index, one in enumerate(found):
        weight = second = second_weight = None
        if code.posterior is not None:
            weights = np.exp(code.posterior.log_weights[index])
            hypotheses = code.posterior.rotations[index]
            near = _near(hypotheses, code.rotation[index])
            weight = float(weights[near].sum())
            if not near.all():
                best = hypotheses[np.argmax(np.where(near, -1, weights))]
                second = pose_matrix(one.centre, best)
                second_weight = float(weights[_near(hypotheses, best) & ~near].sum())
        pose = pose_matrix(one.centre, code.rotation[index])
        rest = code.z_mean[index], occupancy[index], one.radius
        results.append(Reconstruction(pose, weight, second, second_weight, *rest))
    return results


def _near(hypotheses: Float[np.ndarray, "h 3 3"], rotation: Float[np.ndarray, "3 3"]) -> np.ndarray:
    trace = np.einsum("hij,ij->h", hypotheses, rotation)
    return trace > 1 + 2 * np.cos(np.radians(SAME_POSE))


def _with_pictures(model: Model, found: list[Voxelized]):
    """Yields each object with its result and its picture."""
    if not found:
        return
    results = _infer(model, found)
    voxels = np.stack([one.voxels for one in found])
    poses = np.stack([result.pose[:3, :3] for result in results]).astype(np.float32)
    rows = zip(
        pictures.draw(voxels, INPUT_COLOR),
        pictures.draw(np.asarray(pictures.turn(voxels, poses)), CANONICAL_COLOR),
        pictures.draw([result.occupancy for result in results], RECONSTRUCTION_COLOR),
        strict=True,
    )
    columns = ["input", "canonical", "reconstruction"]
    for one, result, row in zip(found, results, rows, strict=True):
        yield one, result, pictures.contact_sheet([list(row)], column_labels=columns)


def _write(
    result: Reconstruction,
    sheet: np.ndarray,
    path: Path,
    name: str,
    files: tuple[str, str, str],
    output: Path,
    account: Account,
) -> dict | None:
    """Writes one mesh's files and returns its row; None where that cannot be done."""
    canonical, reconstruction, picture = files
    row = {"file": name, "pose": result.pose.tolist(), "weight": result.weight, "runner_up": None}
    if result.runner_up is not None:
        row["runner_up"] = {"pose": result.runner_up.tolist(), "weight": result.runner_up_weight}
    row["canonical"] = canonical
    try:
        mesh_moving.write_moved(path, result.pose, output / canonical)
    except meshes.MeshError as error:
        account.skip(name, error)
        return None
    rebuilt, row["reconstruction"] = result.mesh(), None
    if len(rebuilt.faces):
        row["reconstruction"] = reconstruction
        place = output / reconstruction
        mesh_files.write(place, mesh_moving.encoded(rebuilt, place.suffix.lower().lstrip(".")))
    else:
        mesh_files.remove(output, [reconstruction])
    row["picture"] = picture
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "PNG", optimize=True)
    mesh_files.write(output / row["picture"], stream.getvalue())
    return row
