"""How well `reconstruct` and `align` bring a folder of meshes into common frames, by furniture.

python -m rotdis.benchmark.alignment [--workdir=modelnet10] [--each=5] [--seed=0] [--output=FOLDER]

Writes furniture at random, known orientations as OBJ, STL, PLY and GLB, a folder for each class,
gives them to both, and prints for each class the median angle between the frames found for two of
its objects, and how many pairs are near: up to what each object itself hardly tells apart, and
exactly.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from rotdis import align, inference, reconstruct
from rotdis.benchmark import command
from rotdis.data import furniture, normalize
from rotdis.metrics import self_similarity, symmetry

FORMATS = ("obj", "stl", "ply", "glb")
NEAR = 15.0  # degrees
_RESOLUTION = 32  # of the voxels by which an object's own symmetries are found

FLAGS = flags.FLAGS


class Placed(NamedTuple):
    """An object as it was written.

    Attributes:
        turn: Q, by which the aligned object was turned.
        voxels: of the aligned object.
    """

    turn: Float[np.ndarray, "3 3"]
    voxels: Float[np.ndarray, "d d d"]


def write_meshes(folder: Path, each: int, seed: int) -> dict[str, Placed]:
    """Writes test objects of every class, turned, shifted and scaled; returns them by file.

    Args:
        folder: gets a folder for each class.
        each: how many objects of a class.
        seed: of objects, rotations, places and sizes.
    """
    random, placed = np.random.default_rng(seed), {}
    for name in furniture.CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(each):
            mesh = furniture.make_object(name, furniture.object_seed("test", name, index, seed))
            voxels = normalize.normalize(mesh, _RESOLUTION)
            turn = Rotation.random(rng=random).as_matrix()
            motion = np.eye(4)
            motion[:3, :3] = turn * np.exp(random.uniform(-3, 3))
            motion[:3, 3] = random.uniform(-100, 100, 3)
            mesh.apply_transform(motion)
            path = Path(name) / f"{index:04}.{FORMATS[len(placed) % len(FORMATS)]}"
            mesh.export(folder / path)
            placed[path.as_posix()] = Placed(turn, voxels)
    return placed


def angles(
    frames: Float[np.ndarray, "n 3 3"], symmetries: Sequence[Float[np.ndarray, "s 3 3"]]
) -> Float[np.ndarray, " n*(n-1)/2"]:
    """Returns the angle between the frames of every two objects, up to the symmetries of each."""
    between = symmetry.own_frame_angles(frames, symmetries)
    return between[np.triu_indices(len(frames), 1)]


def measure(
    poses: Mapping[str, Float[np.ndarray, "4 4"]],
    turns: Mapping[str, Float[np.ndarray, "3 3"]],
    groups: Mapping[str, Float[np.ndarray, "s 3 3"]],
) -> dict[str, Float[np.ndarray, " p"]]:
    """Returns for each class the angles between the frames of its pairs of objects, in degrees.

    Args:
        poses: of files, which map the meshes into their frames.
        turns: of files, by which the aligned objects were turned.
        groups: the symmetries of each file's object, in the source's orientation.
    """
    by_class: dict[str, list[str]] = {}
    for name in poses:
        by_class.setdefault(Path(name).parent.name, []).append(name)
    result = {}
    for class_name, names in sorted(by_class.items()):
        # o is turned by Q and then by the pose; F is the reverse of both.
        frames = np.stack([(np.asarray(poses[n])[:3, :3] @ turns[n]).T for n in names])
        result[class_name] = angles(frames, [groups[n] for n in names])
    return result


def _row(title: str, *columns: Float[np.ndarray, " p"]) -> list[object]:
    cells = [(f"{np.median(each):.1f}", f"{np.mean(each < NEAR):.0%}") for each in columns]
    return [title, *[cell for pair in cells for cell in pair]]


def run(workdir: str, each: int, seed: int, folder: Path) -> str:
    """Measures, leaves everything in `folder`, and returns a table."""
    from tabulate import tabulate  # of the extra `benchmark`

    model = inference.load(workdir)
    placed = write_meshes(folder / "meshes", each, seed)
    rows = {
        "reconstruct": reconstruct.reconstruct(model, folder / "meshes", folder / "reconstructed"),
        "align": align.align(model, folder / "meshes", folder / "aligned"),
    }
    turns = {name: each.turn for name, each in placed.items()}
    holds = self_similarity.near_symmetries(np.stack([each.voxels for each in placed.values()]))
    groups = {
        name: self_similarity.candidates()[own] for name, own in zip(placed, holds, strict=True)
    }
    plain = dict.fromkeys(placed, symmetry.IDENTITY)
    columns = []
    for found in rows.values():
        poses = {row["file"]: row["pose"] for row in found}
        columns += [measure(poses, turns, groups), measure(poses, turns, plain)]
    lines = [_row(name, *[column[name] for column in columns]) for name in columns[0]]
    lines.append(_row("all", *[np.concatenate(list(column.values())) for column in columns]))
    (folder / "turns.json").write_text(
        json.dumps({name: turn.tolist() for name, turn in turns.items()}, indent=1)
    )
    near = f"< {NEAR:g}"
    pair = (near, "exactly", near)
    headings = ["class", "model, deg", *pair, "align, deg", *pair]
    return tabulate(lines, headings, disable_numparse=True)


def main() -> None:
    """Prints the table."""
    if FLAGS.output:
        print(run(FLAGS.workdir, FLAGS.each, FLAGS.seed, Path(FLAGS.output)))
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(run(FLAGS.workdir, FLAGS.each, FLAGS.seed, Path(folder)))


if __name__ == "__main__":
    flags.DEFINE_string("workdir", "modelnet10", "A run's folder, or a packaged model.")
    flags.DEFINE_integer("each", 5, "Objects of each class.", lower_bound=2)
    flags.DEFINE_integer("seed", 0, "Of objects and their orientations.")
    flags.DEFINE_string("output", None, "Where to leave the meshes [nowhere].")
    command.run("rotdis.benchmark.alignment", main)
