"""The report's pictures of test objects, class by class, and of what a class is on average."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from rotdis import pictures
from rotdis.collect import Evaluable
from rotdis.data.voxelset import VoxelSet
from rotdis.metrics.reconstruction import THRESHOLD
from rotdis.metrics.summary import Predictions
from rotdis.render import CANONICAL_COLOR, INPUT_COLOR, render_voxels
from rotdis.report import confusion, images
from rotdis.report.images import Picture

_SIZE, _SMALL = 208, 128  # pixels of an object's picture, in the grid and in the gallery
_OFF = 30.0  # degrees from the class's frame, beyond which an object is marked
_COLUMNS = 12  # of a sheet of canonical forms
_LETTERS = 60  # bytes of a class's name in that of a file


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
    """Returns the sections of all classes that have objects, and writes their sheets as PNGs.

    Args:
        model: decodes the reconstructions.
        test: the split that was evaluated.
        predictions: of the evaluation.
        folder: of the PNGs, `objects_CLASS.png` and `canonical_CLASS.png`.
        per_class: objects shown in full.
        gallery: canonical forms shown, at most.
    """
    labels = np.unique(predictions.label)
    stems = _file_names([predictions.class_names[label] for label in labels])
    found = []
    for label, stem in zip(labels, stems, strict=True):
        members = np.flatnonzero(predictions.label == label)
        name = predictions.class_names[label]
        seen = _views(test, predictions, members)
        canonical = pictures.canonical_forms(test, predictions, members)
        angles = (
            confusion.angle_to_class(predictions, members, _OFF) if predictions.aligned else None
        )
        averages = [
            ("as seen", seen, INPUT_COLOR),
            ("in the frames found", canonical, CANONICAL_COLOR),
        ]
        if predictions.aligned:
            source = test.voxels(predictions.index[members])
            averages.append(("in the source\u2019s frames", source, INPUT_COLOR))
        first = members[:per_class]
        rebuilt = model.decode(predictions.z_mean[first, 0], predictions.rotations[first, 0])
        volumes = (seen[:per_class], canonical[:per_class], np.asarray(rebuilt))
        found.append(
            ClassSection(
                name,
                _objects(predictions, first, volumes, folder / f"objects_{stem}.png"),
                _forms(
                    predictions,
                    members[:gallery],
                    canonical[:gallery],
                    None if angles is None else angles[:gallery],
                    folder / f"canonical_{stem}.png",
                ),
                len(members),
                [(what, _mean(what, volumes, color)) for what, volumes, color in averages],
                None if angles is None else float(np.mean(angles < _OFF)),
            )
        )
    return found


def _file_names(classes: Sequence[str]) -> list[str]:
    """Returns a part of a file name for each class, different ones on every file system."""
    names: list[str] = []
    for name in classes:
        stem = "".join(c if c.isalnum() else "_" for c in name)
        short = stem.encode()[:_LETTERS].decode(errors="ignore")
        if short != stem or short.casefold() in map(str.casefold, names):
            short += f"_{len(names)}"
        names.append(short)
    return names


def _objects(
    predictions: Predictions,
    rows: Int[np.ndarray, " k"],
    volumes: tuple[np.ndarray, np.ndarray, np.ndarray],
    sheet: Path,
) -> list[Shown]:
    """Draws objects in full: view, canonical form and reconstruction of each."""
    drawn = [
        pictures.draw(each, color, _SIZE, transparent=True)
        for each, color in zip(volumes, pictures.COLORS.values(), strict=True)
    ]
    _save(sheet, drawn, pictures.ROWS)
    name = predictions.class_names[predictions.label[rows[0]]]
    return [
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


def _forms(
    predictions: Predictions,
    rows: Int[np.ndarray, " k"],
    canonical: Float[np.ndarray, "k d d d"],
    angles: Float[np.ndarray, " k"] | None,
    sheet: Path,
) -> list[Form]:
    """Draws canonical forms, those nearest to the frame of their class first."""
    order = np.arange(len(rows)) if angles is None else np.argsort(angles, kind="stable")
    drawn = pictures.draw(canonical[order], CANONICAL_COLOR, _SMALL, transparent=True)
    _save(sheet, [drawn[i : i + _COLUMNS] for i in range(0, len(drawn), _COLUMNS)])
    forms = []
    for n, pixels in zip(order, drawn, strict=True):
        alt = f"{predictions.class_names[predictions.label[rows[n]]]} in its canonical frame"
        angle = None if angles is None else float(angles[n])
        if angle is not None:
            alt += f", {angle:.0f} degrees off"
        off = angle is not None and angle >= _OFF
        picture = images.embed(pixels, alt)
        forms.append(Form(predictions.source_id[rows[n]], picture, angle, off))
    return forms


def _mean(what: str, volumes: np.ndarray, color: tuple[float, float, float]) -> Picture:
    pixels = render_voxels(mean_shape(volumes), (_SIZE, _SIZE), color, transparent=True)
    return images.embed(pixels, f"mean shape {what}")


def mean_shape(volumes: Float[np.ndarray, "n d d d"]) -> Float[np.ndarray, "d d d"]:
    """Returns the voxels that most objects share, as many as an object has on average.

    Objects that lie alike share a shape; objects in random poses share a lump. Values fall off
    about one half in proportion to the mean occupancy, so that a smooth surface can be drawn.
    """
    mean = volumes.mean(axis=0)
    count = round(float((volumes > THRESHOLD).sum() / len(volumes)))
    count = min(max(count, 1), mean.size - 1)
    ordered = np.sort(mean, axis=None)[::-1]
    # Between the last voxel that belongs to the shape and the first that does not.
    limit = max(float(ordered[count - 1 : count + 1].mean()), 1e-3)
    return np.clip(0.5 + (mean - limit) / (2 * limit), 0, 1)


def _views(test: VoxelSet, predictions: Predictions, rows: np.ndarray) -> np.ndarray:
    return pictures.turn_all(test.voxels(predictions.index[rows]), predictions.views[rows, 0])


def _save(path: Path, rows: list[list[np.ndarray]], labels: tuple[str, ...] | None = None) -> None:
    sheet = pictures.contact_sheet([[images.on_white(p) for p in row] for row in rows], labels)
    Image.fromarray(sheet).save(path)
