"""What a trained model generates, as pictures and meshes in a folder: `--mode=generate`."""

import os
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from rotdis import generate, mesh_files, surfaces
from rotdis.data import furniture, normalize
from rotdis.errors import RotdisError, UsageError
from rotdis.inference import Model
from rotdis.pictures import contact_sheet, draw
from rotdis.render import CANONICAL_COLOR, INPUT_COLOR, RECONSTRUCTION_COLOR

_SAMPLES, _STEPS = 8, 8
# What is written, as patterns.
_RESULTS = (
    "samples.png",
    "interpolation.png",
    "sweep.png",
    "meshes/sample_[0-9].*",
    "meshes/interpolation[0-9]_*_to_*_[0-9].*",
    "meshes/sweep_*_about_z_[0-9][0-9][0-9].*",
)
_PAIRS = 3  # interpolations shown
_NAME = 80  # bytes of an object's name
_SIZE = 112  # of one object's picture, in pixels
_DEGREE = "\N{DEGREE SIGN}"
# Objects to start from where none are given: of these classes, two by two.
_CLASSES = ("toilet", "monitor", "chair", "sofa", "bed", "table")
_AXES = dict(zip("xyz", np.eye(3), strict=True))
_SIDES = {
    "canonical": np.eye(3),
    f"90{_DEGREE} about z": generate.full_turn(_AXES["z"], 4)[1],
    f"90{_DEGREE} about x": generate.full_turn(_AXES["x"], 4)[1],
}

# A sheet, and the volumes on it that are worth a mesh, by file name.
_Page = tuple[UInt8[np.ndarray, "h w 3"], dict[str, Float[np.ndarray, "d d d"]]]
Objects = dict[str, Float[np.ndarray, "d d d"]]


def write_gallery(
    model: Model,
    output: str | Path,
    objects: Objects | None = None,
    *,
    seed: int = 0,
    mesh_format: str = "ply",
) -> None:
    """Writes samples, interpolations and a sweep, each as a picture and as meshes.

    Into `output`: `samples.png`, shapes from the prior at three rotations; `interpolation.png`, the
    ways from one object to another in the canonical frame, between the canonicalized inputs; and
    `sweep.png`, the first object turned about the three axes, out of the pose that it came in. In
    `meshes/` beside them `sample_K` and `interpolationP_A_to_B_K` (pair P), both in the canonical
    frame, and `sweep_NAME_about_z_DDD` (degrees); a whole object's enclosing ball has radius 1.

    Args:
        model: the trained model.
        output: a folder, made where missing.
        objects: at least two, normalized, in any orientation, by name; furniture by default. They
            are interpolated two by two, the first three pairs.
        seed: of the samples.
        mesh_format: one of `mesh_files.FORMATS`.

    Raises:
        RotdisError: fewer than two objects, or the output cannot be written.
        UsageError: a result would replace a file that no earlier call wrote.
    """
    objects = example_objects(model.resolution) if objects is None else objects
    if len(objects) < 2:
        given = ", ".join(objects) or "none"
        raise RotdisError(f"an interpolation needs two objects; given: {given}")
    output = Path(output)
    pages = {"samples": _samples(model, seed), "interpolation": _interpolation(model, objects)}
    if model.config.pose.method == "none":
        print('no sweep: a model with pose.method "none" turns nothing')
    else:
        pages["sweep"] = _sweep(model, *next(iter(objects.items())))
    meshes = {
        name: f"meshes/{name}.{mesh_format}" for _, volumes in pages.values() for name in volumes
    }
    planned = [*(f"{title}.png" for title in pages), *meshes.values()]
    earlier = mesh_files.claim(output, planned)
    # Perhaps of other objects or in another format.
    mesh_files.remove(output, list(filter(_is_result, earlier)), planned)
    written, empty = 0, []
    for title, (sheet, volumes) in pages.items():
        Image.fromarray(sheet).save(output / f"{title}.png", optimize=True)
        for name, volume in volumes.items():
            if surfaces.save(surfaces.surface(volume), output / meshes[name]):
                written += 1
            else:
                empty.append(name)
    unused = list(objects)[2 * min(_PAIRS, len(objects) // 2) :]
    if unused:
        print(
            f"not interpolated, being the last of an odd number or beyond {_PAIRS} pairs: "
            f"{', '.join(unused)}"
        )
    if empty:
        print(f"without a surface, no voxel being above 0.5: {', '.join(empty)}")
    print(f"generated: {', '.join(f'{title}.png' for title in pages)}, {written} meshes: {output}")


def _is_result(name: str) -> bool:
    """Whether a path below a folder of results is one of these, not of another mode's."""
    return any(fnmatchcase(name, pattern) for pattern in _RESULTS)


def example_objects(resolution: int) -> Objects:
    """Returns a few pieces of generated furniture, upright, by class."""
    return {
        name: normalize.normalize(furniture.make_object(name, 0), resolution) for name in _CLASSES
    }


def load_objects(source: str | Path, resolution: int, output: str | Path | None = None) -> Objects:
    """Returns the first meshes of a file or folder, normalized, by name; as many as are shown.

    Those that cannot be used are said, and skipped.

    Args:
        source: a mesh file or a folder.
        resolution: D.
        output: a folder to leave out: what an earlier call wrote is no input.

    Raises:
        DataError: there is no such file or folder, or no mesh in it.
        UsageError: a mesh would be replaced by results.
    """
    objects: Objects = {}
    paths = mesh_files.find_meshes(source, output)
    earlier = mesh_files.recorded(Path(output)) if output is not None else ()
    results = {(Path(output) / name).resolve() for name in earlier if _is_result(name)}
    for path in paths:
        if path.resolve() in results:
            raise UsageError(
                f"--output: {path} is one of the meshes of the input and would be replaced; "
                "choose another folder"
            )
    for done, path in enumerate(paths):
        if len(objects) == 2 * _PAIRS:
            print(f"shown are the first {len(objects)} meshes; {len(paths) - done} are not read")
            break
        try:
            grid = normalize.normalize(path, resolution)
        except RotdisError as error:
            print(f"skipped: {error}")
            continue
        # Files are named after two objects, and no name may be longer than 255 bytes.
        stem = os.fsencode(path.stem)[:_NAME].decode(errors="ignore")
        name, number = stem, 2
        while name in objects:
            name, number = f"{stem}_{number}", number + 1
        objects[name] = grid
    return objects


def _samples(model: Model, seed: int) -> _Page:
    codes = model.sample(_SAMPLES, seed)
    volumes = generate.decode_at(model, codes, np.stack(list(_SIDES.values())))
    rows = [draw(row, RECONSTRUCTION_COLOR, _SIZE) for row in np.swapaxes(volumes, 0, 1)]
    return contact_sheet(rows, list(_SIDES)), {
        f"sample_{index}": volume for index, volume in enumerate(volumes[:, 0])
    }


def _interpolation(model: Model, objects: Objects) -> _Page:
    names, voxels = list(objects), np.stack(list(objects.values()))
    canonical = draw(model.canonicalize(voxels), CANONICAL_COLOR, _SIZE)
    rows, labels, volumes = [], [], {}
    for pair in range(min(_PAIRS, len(names) // 2)):
        one, two = 2 * pair, 2 * pair + 1
        way = generate.between(model, voxels[one], voxels[two], _STEPS)
        rows.append([canonical[one], *draw(way, RECONSTRUCTION_COLOR, _SIZE), canonical[two]])
        labels.append(f"{names[one]} to {names[two]}")
        volumes |= {
            f"interpolation{pair}_{names[one]}_to_{names[two]}_{step}": volume
            for step, volume in enumerate(way)
        }
    columns = ["input", *(f"{share:.2f}" for share in np.linspace(0, 1, _STEPS)), "input"]
    return contact_sheet(rows, labels, columns), volumes


def _sweep(model: Model, name: str, voxels: Float[np.ndarray, "d d d"]) -> _Page:
    code = model.encode(voxels[None])
    seen = draw(voxels[None], INPUT_COLOR, _SIZE)
    degrees = np.rint(360 * np.arange(_STEPS) / _STEPS).astype(int)
    rows, volumes = [], {}
    for axis in _AXES.values():
        turns = generate.full_turn(axis, _STEPS) @ code.rotation[0]
        turned = generate.decode_at(model, code.z_mean, turns)[0]
        rows.append([*seen, *draw(turned, RECONSTRUCTION_COLOR, _SIZE)])
    volumes = {
        f"sweep_{name}_about_z_{angle:03d}": volume
        for angle, volume in zip(degrees, turned, strict=True)
    }
    labels = [f"{name}, about {axis}" for axis in _AXES]
    return contact_sheet(rows, labels, ["input", *(f"{a}{_DEGREE}" for a in degrees)]), volumes
