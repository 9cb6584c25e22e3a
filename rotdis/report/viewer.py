"""What the report's interactive view shows: a few objects, turned step by step, and the answers.

Each object is turned by a full turn about the vertical axis, out of its random pose. At every step
the model infers a rotation and decodes a reconstruction. The object itself is stored once, since
the page can turn it; the decoded volumes are stored for every step, since no turned copy of one
would show what the model made of the others.
"""

import base64
import zlib

import jax
import numpy as np
from jaxtyping import Float, Int

from rotdis import generate, pictures
from rotdis.collect import Evaluable
from rotdis.data.voxelset import VoxelSet
from rotdis.metrics import pose, reconstruction
from rotdis.metrics.summary import Predictions
from rotdis.render import surface_field

STEPS = 36  # 10 degrees each
_LEVELS = 15  # a voxel is stored in four bits
_LARGEST = 1.7  # that `surface_field` gives


def choose(predictions: Predictions, count: int) -> Int[np.ndarray, " k"]:
    """Returns the rows of the first object of each class; of many classes, evenly spaced ones."""
    labels, first = np.unique(predictions.label, return_index=True)
    return first[np.unique(np.linspace(0, len(labels) - 1, min(count, len(labels))).astype(int))]


def scenes(
    model: Evaluable, test: VoxelSet, predictions: Predictions, rows: Int[np.ndarray, " k"]
) -> dict:
    """Returns what the page's script needs, ready for JSON.

    `side`, the grid's; `largest`, what the highest level of a volume stands for; `objects`, each
    with `name`, `turns` (the rotation that made the view at each step), `rotations` (the inferred
    ones), `upright` (turns the canonical form for display), `error` (degrees by which the inferred
    rotation has moved away from the true one since step 0), `iou`, `volume` and `decoded` (see
    `pack`, the latter all steps after each other). Rotations are lists of nine numbers, by rows.
    """
    return {
        "side": test.resolution,
        "largest": _LARGEST,
        "objects": [_scene(model, test, predictions, row) for row in rows],
    }


def _scene(model: Evaluable, test: VoxelSet, predictions: Predictions, row: int) -> dict:
    turns = generate.full_turn((0, 0, 1), STEPS) @ predictions.views[row, 0]
    voxels = test.voxels(predictions.index[[row]])
    views, rotations, decoded = _follow(model, voxels[0], turns.astype(np.float32))
    true, found = (r @ r[0].T for r in (turns, rotations))
    counts = jax.vmap(reconstruction.confusion)(views, decoded)
    upright = np.eye(3)
    if predictions.aligned:
        same = predictions.label == predictions.label[row]
        upright = pictures.central_rotation(predictions.frames[same])
    return {
        "name": predictions.class_names[predictions.label[row]],
        "source": predictions.source_id[row],
        "turns": _numbers(turns),
        "rotations": _numbers(rotations),
        "upright": _numbers(upright[None])[0],
        "error": np.round(pose.angles(true, found), 1).tolist(),
        "iou": np.round(reconstruction.iou(jax.tree.map(np.asarray, counts)), 3).tolist(),
        "volume": pack(voxels),
        "decoded": pack(decoded),
    }


def _follow(
    model: Evaluable, voxels: Float[np.ndarray, "d d d"], turns: Float[np.ndarray, "s 3 3"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the views of a turned object, the rotations inferred, and what is decoded."""
    views = pictures.turn_all(np.repeat(voxels[None], len(turns), axis=0), turns)
    code = model.encode(views)
    rotations = np.asarray(code.rotation, np.float32)
    decoded = np.asarray(model.decode(code.z_mean, code.rotation), np.float32)
    return views, rotations, decoded


def pack(volumes: Float[np.ndarray, "n d d d"]) -> str:
    """Returns volumes as base64 of zlib of four bits a voxel, in C order, the high ones first.

    They are the coefficients of the splines that are drawn (`render.surface_field`), in 15 levels.
    """
    fields = np.stack([surface_field(volume) for volume in volumes])
    levels = np.rint(fields.reshape(-1) * (_LEVELS / _LARGEST)).astype(np.uint8)
    levels = np.append(levels, 0) if len(levels) % 2 else levels
    data = zlib.compress((levels[::2] << 4 | levels[1::2]).tobytes(), 9)
    return base64.b64encode(data).decode("ascii")


def _numbers(rotations: Float[np.ndarray, "n 3 3"]) -> list[list[float]]:
    return np.round(np.asarray(rotations, np.float64), 4).reshape(-1, 9).tolist()
