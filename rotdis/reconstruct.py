"""A trained model on the user's meshes: pose, canonical mesh, reconstruction, code of each."""

import io
import json
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from rotdis import atomic, surfaces
from rotdis.data import meshes, normalize, voxelize
from rotdis.errors import DataError, RotdisError
from rotdis.inference import Model
from rotdis.pictures import contact_sheet, draw
from rotdis.progress import Progress
from rotdis.render import CANONICAL_COLOR, INPUT_COLOR, RECONSTRUCTION_COLOR

SUFFIXES = (".off", ".obj", ".stl", ".ply", ".glb")
_BATCH = 32


def reconstruct(model: Model, source: str | Path, output: str | Path) -> list[dict]:
    """Infers the pose of every mesh and writes what follows from it.

    Into `output`: `poses.json`, a row per mesh with its `file`, its `pose` (4x4, rigid; it maps the
    mesh's points into the canonical frame, the centre of the smallest enclosing ball to the
    origin), the `weight` of that pose's hypothesis, and the `runner_up` with its own; `codes.npz`
    with the codes `z_mean` of all and the files they are of (`source`); and for each mesh NAME
    `NAME_canonical.ply`, the mesh in the canonical frame, `NAME_reconstruction.ply` beside it, and
    the picture `NAME.png`. A file that cannot be used is reported and left out.

    Args:
        model: the trained model.
        source: a mesh file, or a folder that is searched with all its subfolders.
        output: a folder, made where missing.

    Returns:
        The rows of `poses.json`.

    Raises:
        DataError: there is no such file or folder, or nothing in it can be used.
        MeshError: the one file given cannot be used.
    """
    source, output = Path(source), Path(output)
    paths = [path for path in find_meshes(source) if output not in path.parents]
    output.mkdir(parents=True, exist_ok=True)
    rows, codes, skipped = [], [], []
    with Progress(len(paths), label="reconstruct", unit="file") as progress:
        for start in range(0, len(paths), _BATCH):
            loaded = []
            for path in paths[start : start + _BATCH]:
                try:
                    mesh = meshes.load_mesh(path).mesh
                    loaded.append((path, mesh, voxelize.voxelize(mesh, model.resolution, 2)))
                except RotdisError as error:
                    if path == source:
                        raise
                    skipped.append(str(error))
            if loaded:
                new_rows, new_codes = _process(model, loaded, source, output)
                rows += new_rows
                codes.append(new_codes)
            progress.update(min(start + _BATCH, len(paths)))
    for message in skipped:
        print(f"skipped: {message}")
    if not rows:
        raise DataError(f"{source}: none of its {len(paths)} meshes could be used (see above)")
    atomic.write(output / "poses.json", (json.dumps(rows, indent=1) + "\n").encode())
    archive = io.BytesIO()
    np.savez(archive, source=[row["file"] for row in rows], z_mean=np.concatenate(codes))
    atomic.write(output / "codes.npz", archive.getvalue())
    print(f"{len(rows)} meshes reconstructed, {len(skipped)} skipped: {output}")
    return rows


def pose_matrix(
    centre: Float[np.ndarray, " 3"], rotation: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "4 4"]:
    """Returns the rigid motion of an object with inferred `rotation` into the canonical frame."""
    pose = np.eye(4)
    pose[:3, :3] = rotation.T
    pose[:3, 3] = -rotation.T @ centre
    return pose


def find_meshes(source: str | Path) -> list[Path]:
    """Returns the mesh file, or all of a folder and its subfolders, sorted.

    Raises:
        DataError: there is no such file or folder, or no mesh in it.
    """
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"--input: there is no file or folder {source}")
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"--input: {source} holds no mesh ({', '.join(SUFFIXES)})")
    return paths


def _process(
    model: Model, loaded: list, source: Path, output: Path
) -> tuple[list[dict], np.ndarray]:
    voxels = np.stack([grid for _, _, grid in loaded])
    code = model.encode(voxels)
    canonical = model.canonicalize(voxels)
    upright = np.broadcast_to(np.eye(3, dtype=np.float32), code.rotation.shape)
    decoded = model.decode(code.z_mean, upright if code.posterior else code.rotation)
    pictures = zip(
        draw(voxels, INPUT_COLOR),
        draw(canonical, CANONICAL_COLOR),
        draw(decoded, RECONSTRUCTION_COLOR),
        strict=True,
    )
    rows = []
    for index, ((path, mesh, _), pictured) in enumerate(zip(loaded, pictures, strict=True)):
        centre, radius = normalize.enclosing_ball(mesh.vertices)
        name = path.relative_to(source).as_posix() if source.is_dir() else path.name
        row = {"file": name, "pose": pose_matrix(centre, code.rotation[index]).tolist()}
        if code.posterior is not None:
            weights = np.exp(code.posterior.log_weights[index])
            hypotheses = code.posterior.rotations[index]
            chosen = np.argmin(np.sum((hypotheses - code.rotation[index]) ** 2, axis=(1, 2)))
            runner_up = np.argmax(np.where(np.arange(len(weights)) == chosen, -1, weights))
            second = hypotheses[runner_up]
            row["weight"] = float(weights[chosen])
            row["runner_up"] = {
                "pose": pose_matrix(centre, second).tolist(),
                "weight": float(weights[runner_up]),
            }
        rows.append(row)
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        posed = mesh.copy()
        posed.apply_transform(np.asarray(row["pose"]))
        surfaces.save(posed, output / f"{name}_canonical.ply")
        rebuilt = surfaces.surface(decoded[index], radius)
        surfaces.save(rebuilt, output / f"{name}_reconstruction.ply")
        sheet = contact_sheet([list(pictured)], column_labels=["input", "canonical", "decoded"])
        Image.fromarray(sheet).save(output / f"{name}.png")
    return rows, code.z_mean
