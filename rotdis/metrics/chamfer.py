"""How alike canonical forms are as surfaces: part of evaluate, on the host.

ConDor's consistency measures (Sajnani et al., "ConDor: Self-Supervised Canonicalization of 3D Pose
for Partial Shapes", CVPR 2022): the Chamfer distance between the canonical forms of one object seen
from several sides, and of different objects of a class. They need no aligned data.

A canonical form is the source's object turned by F^T, F = Q^T R, so its surface points are the
object's own turned by F^T: nothing is resampled, and a perfect model has the distance zero.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage
from scipy.spatial import cKDTree

from rotdis.metrics.reconstruction import THRESHOLD

POINTS = 512  # of an object's surface that ask for the nearest of another's, at most


class Surface(NamedTuple):
    """Points on the surface of an object, in units of half the grid's side from its centre.

    Attributes:
        every: all of them: what a point of another surface is near to. (Of a random part of them a
            symmetric object's turned copy would be a distance away.)
        some: those that ask.
    """

    every: Float[np.ndarray, "p 3"]
    some: Float[np.ndarray, "q 3"]

    def turned(self, frame: Float[np.ndarray, "3 3"]) -> "Surface":
        """Returns the surface turned by F^T."""
        return Surface(self.every @ frame, self.some @ frame)  # rows: (F^T p)^T = p^T F


def surface_points(
    voxels: Float[np.ndarray, "d d d"], count: int = POINTS, seed: int = 0
) -> Surface:
    """Returns the centres of surface voxels, `count` random ones asking if there are as many.

    An occupied voxel is on the surface where one of its six neighbours is empty or outside. An
    object without an occupied voxel gets the grid's centre.
    """
    occupied = np.pad(voxels > THRESHOLD, 1)
    surface = (occupied & ~ndimage.binary_erosion(occupied))[1:-1, 1:-1, 1:-1]
    points = np.argwhere(surface)
    if not len(points):
        return Surface(np.zeros((1, 3)), np.zeros((1, 3)))
    points = (points - (len(voxels) - 1) / 2) / (len(voxels) / 2)
    chosen = np.random.default_rng(seed).permutation(len(points))[:count]
    return Surface(points, points[chosen])


def chamfer(a: Surface, b: Surface) -> float:
    """Returns the mean distance to the nearest point of the other, averaged over both."""
    forth, _ = cKDTree(b.every).query(a.some)
    back, _ = cKDTree(a.every).query(b.some)
    return float(forth.mean() + back.mean()) / 2


def instance_chamfer(
    surfaces: list[Surface], frames: Float[np.ndarray, "n 2 3 3"]
) -> Float[np.ndarray, " n"]:
    """Returns the Chamfer distance between the canonical forms of each object's two views.

    ConDor's instance-level consistency, with two views an object; blind to symmetry, as it should.

    Args:
        surfaces: each object's in the source's orientation.
        frames: F of its two views.
    """
    return np.array(
        [chamfer(s.turned(f[0]), s.turned(f[1])) for s, f in zip(surfaces, frames, strict=True)]
    )


def category_chamfer(
    surfaces: list[Surface],
    frames: Float[np.ndarray, "n 3 3"],
    label: Int[np.ndarray, " n"],
    partners: int = 4,
) -> Float[np.ndarray, " n"]:
    """Returns the mean Chamfer distance of each canonical form to others of its class.

    ConDor's category-level consistency, over `partners` others of the class instead of all: those
    that follow in the order given. It holds the difference of the shapes as well, so it is to be
    read beside its value with identities as `frames`, the source's own alignment; and it is blind
    to symmetry. NaN for an object that is alone in its class.
    """
    result = np.full(len(surfaces), np.nan)
    turned = [s.turned(f) for s, f in zip(surfaces, frames, strict=True)]
    for c in np.unique(label):
        members = np.flatnonzero(label == c)
        shifts = range(1, min(partners, len(members) - 1) + 1)
        for place, i in enumerate(members):
            others = [members[(place + shift) % len(members)] for shift in shifts]
            if others:
                result[i] = np.mean([chamfer(turned[i], turned[j]) for j in others])
    return result
