"""Pose errors that forgive an object's symmetry: part of evaluate, on the host, in degrees.

An object o that looks the same when turned by s (in the source's own orientation) gives the views
Q1 o and Q2 o = Q2 s o, so two inferred rotations are as right when R2 R1^T = Q2 s Q1^T as when it
is Q2 Q1^T; and its canonical frame F = Q^T R is as right as s F. On a symmetric class a plain error
measures the symmetry; the minimum over its group, as in the errors of the BOP benchmark (Hodan et
al., "BOP Challenge 2020 on 6D Object Localization", ECCV workshops 2020), measures the model.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from rotdis.metrics import pose

IDENTITY = np.eye(3)[None]
_FORM = re.compile(r"(.+):([CD])([1-9]\d?)")


def parse(declared: Iterable[str]) -> dict[str, Float[np.ndarray, "s 3 3"]]:
    """Returns the symmetry group of each class that is declared to have one.

    Args:
        declared: "CLASS:Cn", n turns about the z axis, which is up in ModelNet and in the generated
            furniture, or "CLASS:Dn", those and the half turns about n horizontal axes, x the first.

    Raises:
        ValueError: a declaration is not of this form, or a class is declared twice.
    """
    groups = {}
    for text in declared:
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not CLASS:Cn or CLASS:Dn with n from 1 to 99")
        name, kind, order = match[1], match[2], int(match[3])
        if name in groups:
            raise ValueError(f"{name!r} is declared twice")
        groups[name] = Rotation.create_group(f"{kind}{order}", axis="Z").as_matrix()
    return groups


def pair_error(
    views: Float[np.ndarray, "n 2 3 3"],
    rotations: Float[np.ndarray, "n 2 3 3"],
    symmetries: Float[np.ndarray, "s 3 3"],
    holds: Bool[np.ndarray, "n s"] | None = None,
) -> Float[np.ndarray, " n"]:
    """Returns `pose.pair_error` to the nearest of the relative rotations Q2 s Q1^T.

    Args:
        views: the rotations Q1, Q2 that made an object's two views.
        rotations: the rotations R1, R2 inferred from them.
        symmetries: rotations s in the source's orientation, the identity among them.
        holds: which of them each object has; all of them by default.
    """
    inferred = rotations[:, 1] @ np.swapaxes(rotations[:, 0], -1, -2)
    # (n, s): Q2 s Q1^T
    allowed = (
        views[:, None, 1].astype(np.float64)
        @ symmetries
        @ np.swapaxes(views[:, None, 0], -1, -2).astype(np.float64)
    )
    angles = pose.angles(np.broadcast_to(inferred[:, None], allowed.shape), allowed)
    if holds is not None:
        angles = np.where(holds, angles, np.inf)
    return angles.min(axis=1)


def frame_angles(
    frames: Float[np.ndarray, "n 3 3"],
    others: Float[np.ndarray, "m 3 3"],
    symmetries: Float[np.ndarray, "s 3 3"] = IDENTITY,
) -> Float[np.ndarray, "n m"]:
    """Returns the angle between F and the nearest s F' of every pair, for s of a group."""
    nearest = np.full((len(frames), len(others)), np.inf)
    for symmetry in symmetries:
        nearest = np.minimum(nearest, pose.all_angles(frames, symmetry @ others.astype(np.float64)))
    return nearest


def own_frame_angles(
    frames: Float[np.ndarray, "n 3 3"], symmetries: Sequence[Float[np.ndarray, "_ 3 3"]]
) -> Float[np.ndarray, "n n"]:
    """Returns the angle between the nearest of s F and s' F' of every two objects.

    Args:
        frames: of objects.
        symmetries: of each object, s in the source's orientation, the identity among them.
    """
    # F as a row of nine numbers: products of rows are traces of F^T F'.
    turned = [(own @ f).reshape(-1, 9) for own, f in zip(symmetries, frames, strict=True)]
    starts = np.cumsum([0, *map(len, turned)])[:-1]
    every = np.concatenate(turned).astype(np.float64)
    traces = [np.maximum.reduceat((own @ every.T).max(axis=0), starts) for own in turned]
    return np.rad2deg(np.arccos(np.clip((np.stack(traces) - 1) / 2, -1, 1)))


def common_frame(
    frames: Float[np.ndarray, "n 3 3"],
    symmetries: Float[np.ndarray, "s 3 3"] = IDENTITY,
    limit: float = 15.0,
) -> Float[np.ndarray, "3 3"]:
    """Returns the frame with the most of the given (at least one) within `limit` degrees.

    The best of the given frames, the closest to its neighbours among equals, then moved to the
    chordal mean of those neighbours if no fewer are near it: a mode, and not a mean, since a class
    whose frames fall into clusters has nothing in its middle.
    """
    angles = frame_angles(frames, frames, symmetries)
    near = angles < limit
    spread = np.where(near, angles, 0).sum(axis=1) / near.sum(axis=1)
    best = np.lexsort((spread, -near.sum(axis=1)))[0]
    chosen = frames[near[best]].astype(np.float64)
    # Each neighbour by the one of its equivalents s F that lies nearest.
    turned = symmetries[:, None] @ chosen
    overlap = np.einsum("snij,ij->sn", turned, frames[best])
    turned = turned[np.argmax(overlap, axis=0), np.arange(len(chosen))]
    mean = Rotation.from_matrix(turned).mean().as_matrix()
    after = (frame_angles(frames, mean[None], symmetries) < limit).sum()
    return mean if after >= near[best].sum() else frames[best].astype(np.float64)
