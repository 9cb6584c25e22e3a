"""Which hypotheses are mistaken for which: what the report says of wrong poses.

Pose inference chooses among hypotheses one rotation of the cube apart, so a pose that is far off is
mostly off by one of those 24. Which it is tells what was confused: front and back, or the legs of a
table and its top.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rotdis.geometry import so3
from rotdis.metrics import pose, symmetry
from rotdis.metrics.summary import Predictions
from rotdis.pictures import central_rotation

# Kinds of rotations of the cube, by what they do to an object that stands on its feet (z is up).
KINDS = ("alike", "quarter turn, upright", "half turn, upright", "upside down", "on its side")


class Matrix(NamedTuple):
    """How often hypotheses are chosen.

    Attributes:
        counts: [the right one, the chosen one], in the order of `order`.
        blocks: where the vertical goes in each block of four.
    """

    counts: Int[np.ndarray, "24 24"]
    blocks: tuple[str, ...]


class Share(NamedTuple):
    """Shares of `KINDS` among some objects."""

    name: str
    objects: int
    shares: Float[np.ndarray, " kinds"]


def kind_of(rotations: Float[np.ndarray, "n 3 3"]) -> Int[np.ndarray, " n"]:
    """Returns which of `KINDS` the nearest of the cube's 24 rotations is."""
    cube = np.asarray(so3.cube_group())
    up, angle = cube[:, 2, 2], pose.angles(cube, np.broadcast_to(np.eye(3), cube.shape))
    kinds = np.where(up < -0.5, 3, np.where(np.abs(up) < 0.5, 4, np.rint(angle / 90))).astype(int)
    return kinds[nearest(rotations)]


def nearest(rotations: Float[np.ndarray, "n 3 3"]) -> Int[np.ndarray, " n"]:
    """Returns the place in the cube's group of the rotation at the smallest angle."""
    return np.einsum("nij,gij->ng", rotations, np.asarray(so3.cube_group())).argmax(axis=1)


def between_views(predictions: Predictions) -> list[Share]:
    """Returns how the two views' canonical forms lie to each other, by class."""
    one, two = (
        pose.frames(predictions.views[:, view], predictions.rotations[:, view]) for view in (0, 1)
    )
    return _shares(predictions, two @ np.swapaxes(one, 1, 2))


def between_objects(predictions: Predictions) -> list[Share]:
    """Returns how objects' canonical forms lie to the commonest in their class; aligned data."""
    frames = predictions.frames
    turned = np.empty_like(frames)
    for label in np.unique(predictions.label):
        members = predictions.label == label
        turned[members] = frames[members] @ central_rotation(frames[members]).T
    return _shares(predictions, turned)


def angle_to_class(
    predictions: Predictions, members: Int[np.ndarray, " k"], limit: float
) -> Float[np.ndarray, " k"]:
    """Returns each frame's angle to the commonest of a class, up to its declared symmetry.

    Args:
        predictions: of aligned data.
        members: rows of all objects of one class.
        limit: in degrees; the commonest is the one with most others so near to it.
    """
    frames = predictions.frames[members]
    name = predictions.class_names[predictions.label[members[0]]]
    group = (predictions.symmetries or {}).get(name, symmetry.IDENTITY)
    common = symmetry.common_frame(frames, group, limit)
    return symmetry.frame_angles(frames, common[None], group)[:, 0]


def matrix(predictions: Predictions) -> Matrix:
    """Returns which hypothesis view 2 was given, against the one that agrees with view 1.

    The right one is the rotation of the cube nearest to Q2 Q1^T R1; the chosen one is that times
    the one nearest to the error, so that what is off by a few degrees is on the diagonal.
    """
    cube = np.asarray(so3.cube_group())
    (q1, q2), (r1, r2) = (np.moveaxis(a, 1, 0) for a in (predictions.views, predictions.rotations))
    wanted = q2 @ np.swapaxes(q1, 1, 2) @ r1
    right = nearest(wanted)
    chosen = nearest(cube[right] @ cube[nearest(np.swapaxes(wanted, 1, 2) @ r2)])
    axis = np.abs(cube[:, :, 2]).argmax(axis=1)
    sign = np.take_along_axis(cube[:, :, 2], axis[:, None], axis=1)[:, 0]
    order = np.lexsort((-sign, -axis))  # +z, -z, +y, -y, +x, -x: four turns about each
    place = np.argsort(order)
    counts = np.zeros((24, 24), int)
    np.add.at(counts, (place[right], place[chosen]), 1)
    signs = np.where(sign > 0, "+", "\N{MINUS SIGN}")
    names = [f"{signs[g]}{'xyz'[axis[g]]}" for g in order[::4]]
    return Matrix(counts, tuple(names))


def _shares(predictions: Predictions, rotations: Float[np.ndarray, "n 3 3"]) -> list[Share]:
    kinds = kind_of(rotations)
    groups = [("all classes", np.ones(len(kinds), bool))]
    groups += [(predictions.class_names[c], predictions.label == c) for c in _present(predictions)]
    return [
        Share(
            name, int(chosen.sum()), np.bincount(kinds[chosen], minlength=len(KINDS)) / chosen.sum()
        )
        for name, chosen in groups
    ]


def _present(predictions: Predictions) -> Int[np.ndarray, " c"]:
    return np.unique(predictions.label)
