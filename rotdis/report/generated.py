"""What the model makes up, for the report: samples from the prior, ways between test objects."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rotdis import generate, pictures
from rotdis.collect import Evaluable
from rotdis.data.voxelset import VoxelSet
from rotdis.metrics.summary import Predictions
from rotdis.render import CANONICAL_COLOR, RECONSTRUCTION_COLOR
from rotdis.report import images
from rotdis.report.images import Picture

SAMPLES, PAIRS, STEPS = 16, 3, 8
_SIZE, _SMALL = 176, 128  # pixels of a sample, and of a step on a way


def samples(model: Evaluable, predictions: Predictions, seed: int) -> list[Picture]:
    """Returns shapes of codes drawn from the prior, all at one rotation."""
    size = predictions.z_mean.shape[-1]
    codes = np.random.default_rng(seed).standard_normal((SAMPLES, size), np.float32)
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
    for pair in pairs[:PAIRS]:
        codes = generate.interpolate(*predictions.z_mean[list(pair), 0], STEPS)
        volumes = _decode(model, codes, _upright(predictions, pair[0]))
        start, end = (predictions.class_names[predictions.label[row]] for row in pair)
        ends = [pictures.canonical_forms(test, predictions, np.array([row]))[0] for row in pair]
        drawn = pictures.draw(volumes, RECONSTRUCTION_COLOR, _SMALL, transparent=True)
        before, after = pictures.draw(np.stack(ends), CANONICAL_COLOR, _SMALL, transparent=True)
        shown = [images.embed(before, f"{start}: canonical form")]
        shown += [images.embed(p, f"{n} of {STEPS} steps") for n, p in enumerate(drawn, 1)]
        shown.append(images.embed(after, f"{end}: canonical form"))
        ways.append(Way(start, end, shown))
    return ways


def _upright(predictions: Predictions, row: int) -> Float[np.ndarray, "3 3"]:
    if not predictions.aligned:
        return np.eye(3)
    return pictures.central_rotation(
        predictions.frames[predictions.label == predictions.label[row]]
    )


def _decode(model: Evaluable, codes: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    turns = np.tile(rotation.astype(np.float32), (len(codes), 1, 1))
    return np.asarray(model.decode(codes.astype(np.float32), turns))
