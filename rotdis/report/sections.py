"""The report's pictures of objects: by class, averaged, generated."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy import ndimage

from rotdis import generate, pictures
from rotdis.collect import Evaluable
from rotdis.data.voxelset import VoxelSet
from rotdis.metrics.summary import Predictions
from rotdis.render import (
    CANONICAL_COLOR,
    INPUT_COLOR,
    RECONSTRUCTION_COLOR,
    camera_rays,
    render_voxels,
)
from rotdis.report import confusion, images
from rotdis.report.images import Picture

_SIZE, _SMALL = 208, 128  # pixels of an object's picture, in the grid and in the gallery
_OFF = 30.0  # degrees from the class's frame, beyond which an object is marked
_SAMPLES, _PAIRS, _STEPS = 16, 3, 8


class Shown(NamedTuple):
    """One test object: pictures of its view, canonical form and reconstruction."""

    title: str
    pictures: tuple[Picture, Picture, Picture]
    iou: float
    pair_error: float


class Form(NamedTuple):
    """One canonical form, and how far its frame is from its class's (None where unknown)."""

    title: str
    picture: Picture
    angle: float | None
    off: bool


class ClassSection(NamedTuple):
    """What is shown of a class.

    Attributes:
        name: the class.
        objects: the first ones, in full.
        forms: canonical forms side by side.
        total: how many objects the class has.
        averages: (what, picture) of the mean over all objects of the class.
        shared: the share of objects within 30 degrees of the commonest frame; None where the
            source has no common frame.
    """

    name: str
    objects: list[Shown]
    forms: list[Form]
    total: int
    averages: list[tuple[str, Picture]]
    shared: float | None


def of_classes(
    model: Evaluable,
    test: VoxelSet,
    predictions: Predictions,
    folder: Path,
    per_class: int,
    gallery: int,
) -> list[ClassSection]:
    """Returns the sections of all classes that have objects, and writes their sheets as PNGs."""
    sections = []
    for label in np.unique(predictions.label):
        members = np.flatnonzero(predictions.label == label)
        sections.append(
            _of_class(model, test, predictions, members, folder, (per_class, gallery))
        )
    return sections


def _of_class(
    model: Evaluable,
    test: VoxelSet,
    predictions: Predictions,
    members: Int[np.ndarray, " k"],
    folder: Path,
    counts: tuple[int, int],
) -> ClassSection:
    name = predictions.class_names[predictions.label[members[0]]]
    stem = "".join(c if c.isalnum() else "_" for c in name)
    rows = members[: counts[0]]
    canonical = pictures.canonical_forms(test, predictions, members)
    seen = _views(test, predictions, members)
    rebuilt = np.asarray(model.decode(predictions.z_mean[rows, 0], predictions.rotations[rows, 0]))
    drawn = [
        pictures.draw(volumes[: len(rows)], color, _SIZE, transparent=True)
        for volumes, color in (
            (seen, INPUT_COLOR),
            (canonical, CANONICAL_COLOR),
            (rebuilt, RECONSTRUCTION_COLOR),
        )
    ]
    _save(folder / f"objects_{stem}.png", drawn, pictures.ROWS)
    objects = [
        Shown(
            predictions.source_id[row],
            tuple(
                images.embed(column[place], f"{name} {place + 1}: {what}")
                for what, column in zip(pictures.ROWS, drawn, strict=True)
            ),
            float(predictions.iou[row]),
            float(predictions.pair_error[row]),
        )
        for place, row in enumerate(rows)
    ]
    angles = confusion.angle_to_class(predictions, members) if predictions.aligned else None
    order = np.arange(len(members))[: counts[1]]
    if angles is not None:
        order = order[np.argsort(angles[order], kind="stable")]
    drawn = pictures.draw(canonical[order], CANONICAL_COLOR, _SMALL, transparent=True)
    _save(folder / f"canonical_{stem}.png", [drawn[i : i + 12] for i in range(0, len(drawn), 12)])
    forms = [
        _form(name, predictions.source_id[members[n]], pixels, None if angles is None else angles[n])
        for n, pixels in zip(order, drawn, strict=True)
    ]
    return ClassSection(
        name,
        objects,
        forms,
        len(members),
        _averages(name, seen, canonical, test.voxels(predictions.index[members]), angles),
        None if angles is None else float(np.mean(angles < _OFF)),
    )


def _form(name: str, source: str, pixels: np.ndarray, angle: float | None) -> Form:
    off = angle is not None and angle >= _OFF
    alt = f"{name} in its canonical frame" + ("" if angle is None else f", {angle:.0f} degrees off")
    return Form(source, images.embed(pixels, alt), angle, off)


def _averages(
    name: str, seen: np.ndarray, canonical: np.ndarray, source: np.ndarray, angles: object
) -> list[tuple[str, Picture]]:
    """Returns see-through pictures of the mean object: sharp where all lie alike."""
    shown = [("as seen", seen, INPUT_COLOR), ("in the frames found", canonical, CANONICAL_COLOR)]
    if angles is not None:
        shown.append(("in the source\u2019s frames", source, INPUT_COLOR))
    return [
        (what, images.embed(see_through(volumes.mean(axis=0), color), f"mean {name} {what}"))
        for what, volumes, color in shown
    ]


def see_through(
    density: Float[np.ndarray, "d d d"], color: tuple[float, float, float], size: int = _SIZE
) -> UInt8[np.ndarray, "h w 4"]:
    """Draws a density as fog of one colour, from the camera of `render_voxels`."""
    points, step = camera_rays(size, len(density))
    values = ndimage.map_coordinates(density, points, order=1, mode="constant")
    depth = values.sum(axis=-1) * step / len(density)  # in sides of the grid
    alpha = 1 - np.exp(-7 * depth)
    # The thickest parts are darker.
    shade = (1 - 0.45 * alpha[..., None] ** 2) * np.asarray(color)
    pixels = np.concatenate([shade, alpha[..., None]], axis=-1)
    return np.rint(255 * pixels).astype(np.uint8)


def samples(model: Evaluable, predictions: Predictions, seed: int) -> list[Picture]:
    """Returns shapes of codes drawn from the prior, all at one rotation."""
    size = predictions.z_mean.shape[-1]
    codes = np.random.default_rng(seed).standard_normal((_SAMPLES, size), np.float32)
    upright = pictures.central_rotation(predictions.frames) if predictions.aligned else np.eye(3)
    volumes = _decode(model, codes, upright)
    drawn = pictures.draw(volumes, RECONSTRUCTION_COLOR, _SIZE, transparent=True)
    return [images.embed(p, f"sample {n + 1} from the prior") for n, p in enumerate(drawn)]


class Way(NamedTuple):
    """An interpolation between two test objects: their canonical forms, and shapes between."""

    start: str
    end: str
    pictures: list[Picture]


def interpolations(model: Evaluable, test: VoxelSet, predictions: Predictions) -> list[Way]:
    """Returns ways between test objects: within a class, and from class to class.

    The first way is between the first two objects of a class, the others between first objects of
    different classes. Codes are those inferred from view 1, on a great circle.
    """
    first = [np.flatnonzero(predictions.label == c) for c in np.unique(predictions.label)]
    pairs = [(rows[0], rows[1]) for rows in first[:1] if len(rows) > 1]
    pairs += [(a[0], b[0]) for a, b in zip(first[1::2], first[2::2], strict=False)]
    ways = []
    for pair in pairs[:_PAIRS]:
        codes = generate.interpolate(*predictions.z_mean[list(pair), 0], _STEPS)
        volumes = _decode(model, codes, _upright(predictions, pair[0]))
        start, end = (predictions.class_names[predictions.label[row]] for row in pair)
        ends = [pictures.canonical_forms(test, predictions, np.array([row]))[0] for row in pair]
        drawn = pictures.draw(volumes, RECONSTRUCTION_COLOR, _SMALL, transparent=True)
        before, after = pictures.draw(np.stack(ends), CANONICAL_COLOR, _SMALL, transparent=True)
        shown = [images.embed(before, f"{start}: canonical form")]
        shown += [images.embed(p, f"{n} of {_STEPS} steps") for n, p in enumerate(drawn, 1)]
        shown.append(images.embed(after, f"{end}: canonical form"))
        ways.append(Way(start, end, shown))
    return ways


def _upright(predictions: Predictions, row: int) -> Float[np.ndarray, "3 3"]:
    if not predictions.aligned:
        return np.eye(3)
    return pictures.central_rotation(predictions.frames[predictions.label == predictions.label[row]])


def _decode(model: Evaluable, codes: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    turns = np.tile(rotation.astype(np.float32), (len(codes), 1, 1))
    return np.asarray(model.decode(codes.astype(np.float32), turns))


def _views(test: VoxelSet, predictions: Predictions, rows: np.ndarray) -> np.ndarray:
    voxels = test.voxels(predictions.index[rows])
    return np.asarray(pictures.turn(voxels, predictions.views[rows, 0]))


def _save(path: Path, rows: list[list[np.ndarray]], labels: tuple[str, ...] | None = None) -> None:
    sheet = pictures.contact_sheet([[images.on_white(p) for p in row] for row in rows], labels)
    Image.fromarray(sheet).save(path)
