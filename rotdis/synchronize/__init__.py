"""One common frame for a whole folder of related objects, from the frames that a model gives each.

Single objects' canonical frames agree within a class up to rotations of the cube, at best. But many
objects at once say more than each alone. Similar ones are compared at rotations from all of SO(3),
and chained by those that fit best (`tree`); with their faces made parallel to the axes (`straight`)
they are compared again at the cube's 24, by where their surface lies and which way it faces
(`surface`, `pairs`) and by what is seen of them from each side (`views`), and a rotation of the
cube is found for each so that the comparisons agree (`solve`); what is left, a tilt of some
degrees, is taken out by small turns towards the neighbours (`refine`) and towards the axes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy import sparse
from scipy.spatial.transform import Rotation

from rotdis.geometry import so3
from rotdis.synchronize import fields as fields_
from rotdis.synchronize import refine, solve, straight, surface, tree, views
from rotdis.synchronize.pairs import Pairs, group_tables, nearest, of_volumes

NEIGHBOURS = 8
# Of the fields, in sides of the grid. A far-reaching one gives first turns even where shapes
# differ; near ones are sharp, for the tilt.
_FAR, _NEAR, _NEAREST = 0.375, 0.08, 0.04
_FINE = 32  # side of the grids on which the last degrees are refined
_CELLS = (4, 8)  # along a side, by which surfaces are compared
_PICTURE_CELLS = (2, 4, 8)  # along a side, by which views are
_ROUNDS = 2  # of comparing, solving and refining: a tilt taken out makes comparisons sharper
_LEANING = 6.0  # degrees: what would be straightened by more in the end leans on purpose
_AGREE = 15.0  # degrees: frames so near are one
_CANDIDATES = 1000  # frames among which the commonest is looked for


class Synchronized(NamedTuple):
    """Where each object is to be turned.

    Attributes:
        rotations: turn objects as they were given into the common frame.
        component: objects of one number hang together by their neighbours, and share one frame.
        edges: the pairs of neighbours.
    """

    rotations: Float[np.ndarray, "n 3 3"]
    component: Int[np.ndarray, " n"]
    edges: Int[np.ndarray, "e 2"]


def synchronize(
    voxels: np.ndarray,
    rotations: Float[np.ndarray, "n 3 3"],
    *,
    neighbours: int = NEIGHBOURS,
    joined: bool = False,
) -> Synchronized:
    """Finds a common frame of objects.

    Args:
        voxels: normalized objects (N, D, D, D) as they came, D a multiple of 16; occupancy in
            [0, 1], or uint8 from 0 to 255.
        rotations: what turns each into its own canonical frame, R^T for an inferred R.
        neighbours: k, with how many similar objects each is compared.
        joined: whether all are of one kind and get one frame, even those that are more like others
            than k of their own copies (`pairs.nearest`).

    Returns:
        The frame is the one in which most objects already were: of one object, or of objects that
        agree already, hardly anything is changed.
    """
    before = np.asarray(rotations, np.float64)
    if len(before) < 2:
        return Synchronized(before, np.zeros(len(before), int), np.zeros((0, 2), int))
    voxels = _as_bytes(voxels)
    side = _FINE if voxels.shape[1] % _FINE == 0 else fields_.SIDE
    coarse = fields_.solids(voxels, side)
    far, near = (fields_.distance_fields(coarse, decay) for decay in (_FAR, _NEAR))
    solids = fields_.solids(coarse)
    forms = fields_.turned(far, before)
    maybe = nearest([of_volumes(forms)], neighbours, joined=joined).edges
    turns = tree.first_turns(forms, maybe) @ before
    faces = straight.Faces(voxels)
    for _ in range(_ROUNDS):
        upright = faces.straightened(turns)
        forms = fields_.turned(voxels, upright)
        descriptions = surface.describe(forms, _CELLS) + views.describe(forms, _PICTURE_CELLS)
        pairs = nearest(descriptions, neighbours, joined=joined)
        chosen, component = solve.solve(len(turns), *pairs)
        weights = _weights(pairs, chosen)
        turns = refine.refine(near, solids, so3.cube_group()[chosen] @ upright, weights)
    sharpest = fields_.distance_fields(coarse, _NEAREST, side)
    turns = refine.refine(sharpest, coarse, turns, weights, refine.FINE_STEPS)
    turns = faces.straightened(turns, _LEANING)
    turns = Rotation.from_matrix(turns).as_matrix()  # in double precision
    for label in np.unique(component):
        members = component == label
        # o stood at B o and stands at T o: the frame that B had is B T^T of the one that T has.
        change = before[members] @ np.swapaxes(turns[members], 1, 2)
        turns[members] = _commonest(change) @ turns[members]
    return Synchronized(turns, component, pairs.edges)


def _as_bytes(voxels: np.ndarray) -> UInt8[np.ndarray, "n d d d"]:
    return voxels if voxels.dtype == np.uint8 else np.rint(voxels * 255).astype(np.uint8)


def _weights(pairs: Pairs, chosen: Int[np.ndarray, " n"]) -> sparse.csr_array:
    """Returns each pair's score at the rotations chosen, as a symmetric matrix."""
    products, inverse = group_tables()
    first, second = pairs.edges.T
    relative = products[inverse[chosen[second]], chosen[first]]
    scores = pairs.scores[np.arange(len(first)), relative]
    both = np.concatenate([first, second]), np.concatenate([second, first])
    # Never nothing: an object without a good neighbour follows the least bad.
    scores = np.tile(scores, 2) + 1e-6
    return sparse.csr_array((scores, both), shape=(len(chosen),) * 2)


def _commonest(rotations: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "3 3"]:
    """Returns the mean of the largest group of rotations that are near to one of them."""
    flat = rotations.reshape(len(rotations), 9)
    step = -(-len(flat) // _CANDIDATES)
    traces = flat[::step] @ flat.T  # 1 + 2 cos(angle)
    near = traces > 1 + 2 * np.cos(np.radians(_AGREE))
    largest = near[near.sum(axis=1).argmax()]
    return Rotation.from_matrix(rotations[largest]).mean().as_matrix()


def agreement(voxels: np.ndarray, synchronized: Synchronized) -> Float[np.ndarray, " n"]:
    """Returns the mean IoU of each object's turned voxels with its neighbours'; NaN without any.

    Of occupancies between 0 and 1, which in a thin object never reach a half: the sum of the lesser
    of each two over that of the greater.

    Args:
        voxels: what was synchronized.
        synchronized: the result.
    """
    occupied = fields_.turned(_as_bytes(voxels), synchronized.rotations)
    filled = occupied.sum(axis=(1, 2, 3), dtype=np.int64)
    total, count = np.zeros(len(voxels)), np.zeros(len(voxels))
    for i, j in synchronized.edges:
        shared = np.minimum(occupied[i], occupied[j]).sum(dtype=np.int64)
        iou = shared / max(filled[i] + filled[j] - shared, 1)
        for one in (i, j):
            total[one] += iou
            count[one] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
