"""Sheets of rendered objects: what train shows in TensorBoard, and report puts on its page.

The canonical pose that a model finds may lie any way up, since nothing tells it where up is. Where
the source's own frames are known, a whole class is turned by one rotation to stand upright; objects
that disagree with their class still show it.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from rotdis.collect import TEST, Evaluable, padded, see
from rotdis.data.voxelset import VoxelSet
from rotdis.geometry import resample
from rotdis.metrics import pose
from rotdis.metrics.summary import Predictions
from rotdis.render import CANONICAL_COLOR, INPUT_COLOR, RECONSTRUCTION_COLOR, render_voxels

ROWS = ("input", "canonical", "reconstruction")
COLORS = dict(zip(ROWS, (INPUT_COLOR, CANONICAL_COLOR, RECONSTRUCTION_COLOR), strict=True))
_INK = (64, 68, 76)
_TURNED_AT_ONCE = 16


@jax.jit
@jax.vmap
def turn(volume: Float[Array, "d d d"], rotation: Float[Array, "3 3"]) -> Float[Array, "d d d"]:
    """Turns a batch of volumes by a batch of rotations, both along the first axis."""
    return resample.rotate(volume[..., None], rotation)[..., 0]


def turn_all(
    volumes: Float[np.ndarray, "n d d d"], rotations: Float[np.ndarray, "n 3 3"]
) -> Float[np.ndarray, "n d d d"]:
    """Turns any number of volumes by a rotation each; `turn` is compiled once for all numbers."""
    turned = [
        np.asarray(turn(volumes[rows], rotations[rows]))
        for rows in padded(np.arange(len(volumes)), _TURNED_AT_ONCE)
    ]
    return np.concatenate(turned)[: len(volumes)]


def draw(
    volumes: Float[np.ndarray, "n d d d"],
    color: tuple[float, float, float],
    size: int = 160,
    *,
    transparent: bool = False,
) -> list[UInt8[np.ndarray, "h w _"]]:
    """Renders volumes, several at a time: NumPy leaves the interpreter free while it computes."""

    def render(volume: Float[np.ndarray, "d d d"]) -> UInt8[np.ndarray, "h w _"]:
        return render_voxels(volume, (size, size), color, transparent=transparent)

    with ThreadPoolExecutor() as pool:
        return list(pool.map(render, np.asarray(volumes)))


def preview(
    model: Evaluable, split: VoxelSet, *, seed: int = 0, rotations: str = "so3", count: int = 8
) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """Returns one sheet of input, canonical form and reconstruction, for TensorBoard.

    Args:
        model: the model as it is now.
        split: its first objects of as many classes as possible are shown.
        seed: of their random rotations.
        rotations: how they are turned, as in `config.data.rotations`.
        count: how many objects, padded by repetition so that it compiles once.
    """
    if not len(split):
        return {}
    index = np.resize(_mixed(split.label)[:count], count)
    (views, _), _ = see(split.voxels(index), index, seed, TEST, rotations)
    code = model.encode(np.asarray(views))
    canonical = turn(views, np.swapaxes(np.asarray(code.rotation), 1, 2))
    rebuilt = np.asarray(model.decode(code.z_mean, code.rotation))
    rows = [
        draw(volumes, COLORS[row], 128)
        for row, volumes in zip(ROWS, (views, canonical, rebuilt), strict=True)
    ]
    return {
        "objects": contact_sheet(rows, ROWS, [split.class_names[i] for i in split.label[index]])
    }


def canonical_forms(
    test: VoxelSet, predictions: Predictions, chosen: Int[np.ndarray, " k"]
) -> Float[np.ndarray, "k d d d"]:
    """Returns the objects in their canonical pose, the class turned upright where that is known.

    The object is turned once, by the product of view 1's rotation and the inferred one's inverse:
    the same pose as the canonicalized view, without the blur of a second interpolation.
    """
    frames = predictions.frames[chosen]
    upright = np.eye(3)
    if predictions.aligned:
        same_class = predictions.label == predictions.label[chosen[0]]
        upright = central_rotation(predictions.frames[same_class])
    return turn_all(test.voxels(predictions.index[chosen]), _product(upright, frames))


def _product(upright: np.ndarray, frames: np.ndarray) -> Float[np.ndarray, "k 3 3"]:
    return (upright @ np.swapaxes(frames, 1, 2)).astype(np.float32)


def central_rotation(
    rotations: Float[np.ndarray, "n 3 3"], limit: float = 30.0
) -> Float[np.ndarray, "3 3"]:
    """Returns the rotation with the most others within `limit` degrees: the largest cluster's."""
    angles = np.zeros((len(rotations),) * 2)
    angles[np.triu_indices(len(rotations), 1)] = pose.pairwise_angles(rotations)
    angles += angles.T
    near = angles < limit
    # Among equals the one that is closest to its neighbours.
    spread = np.where(near, angles, 0).sum(1) / near.sum(1)
    return rotations[np.lexsort((spread, -near.sum(1)))[0]]


def opening_picture(
    test: VoxelSet,
    predictions: Predictions,
    path: str | Path,
    *,
    classes: Sequence[str] = ("chair", "monitor", "sofa", "toilet"),
    per_class: int = 3,
    size: int = 168,
) -> Path:
    """Draws a wide picture: objects in random poses above, their canonical forms found below.

    The first test objects of each class are shown, not the best ones.

    Args:
        test: the split that was evaluated.
        predictions: of the evaluation.
        path: the PNG to write.
        classes: which to show, in this order; those without objects are left out.
        per_class: objects of each.
        size: of one object's picture, in pixels.

    Returns:
        `path`.

    Raises:
        ValueError: there is no object of these classes.
    """
    above, below = [], []
    for name in classes:
        label = predictions.class_names.index(name) if name in predictions.class_names else -1
        chosen = np.flatnonzero(predictions.label == label)[:per_class]
        if not len(chosen):
            continue
        voxels = test.voxels(predictions.index[chosen])
        above += draw(turn_all(voxels, predictions.views[chosen, 0]), INPUT_COLOR, size)
        below += draw(canonical_forms(test, predictions, chosen), CANONICAL_COLOR, size)
    if not above:
        raise ValueError(f"no test object of the classes {', '.join(classes)}")
    sheet = contact_sheet([above, below], ("seen", "found"))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path, optimize=True)
    return path


def contact_sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "h w 3"]]],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Lays pictures of one size out in rows on white, with labels at the left and on top.

    Raises:
        ValueError: there is no picture.
    """
    if not any(len(row) for row in rows):
        raise ValueError("a contact sheet needs at least one picture")
    height, width = next(row[0] for row in rows if len(row)).shape[:2]
    font = _font(max(11, height // 11))
    left = max((round(font.getlength(text)) for text in row_labels or ()), default=-16) + 16
    top = 2 * round(font.size) if column_labels else 0
    columns = max(map(len, rows))
    sheet = Image.new("RGB", (left + columns * width, top + len(rows) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            sheet.paste(Image.fromarray(np.asarray(picture)), (left + j * width, top + i * height))
    for i, text in enumerate(row_labels or ()):
        middle = top + (i + 0.5) * height
        pen.text((left - 8, middle), text, fill=_INK, font=font, anchor="rm")
    for j, text in enumerate(column_labels or ()):
        pen.text((left + (j + 0.5) * width, top / 2), text, fill=_INK, font=font, anchor="mm")
    return np.asarray(sheet)


@functools.cache
def _font(size: int):
    return ImageFont.load_default(size)


def _mixed(label: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Returns all places in an order that takes one object of each class in turn."""
    turn = np.zeros(len(label), int)
    for value in np.unique(label):
        turn[label == value] = np.arange((label == value).sum())
    return np.lexsort((label, turn))
