"""Winding numbers of closed meshes on a grid, by rays along z: exact, and fast for simple meshes.

Between `meshes` and `voxelize`. Open meshes have no exact winding number along a ray; for them
`voxelize` integrates solid angles instead.
"""

import numpy as np
from jaxtyping import Float, Int

# Columns are moved by these parts of their spacing, so that none meets an edge or a corner that
# lies, as in modelled objects they do, at a round coordinate.
_NUDGE = (1.37e-5, 2.11e-5)
_BLOCK = 1 << 20  # pairs of triangle and column at a time: bounds the memory


def winding_numbers(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], axis: Float[np.ndarray, " n"]
) -> Int[np.ndarray, "n n n"] | None:
    """Returns the winding number of every point of the grid axis^3.

    Along each column of the grid a surface is crossed where a face covers the column; below all of
    them the winding number is 0, and each crossing changes it by 1, up or down by the side from
    which the face is seen.

    Args:
        vertices: of the mesh.
        faces: closed and consistently wound.
        axis: ascending, evenly spaced coordinates, the same along x, y and z.

    Returns:
        The numbers, or None where some column does not come back to 0 at the top, as it must for a
        closed mesh: it met an edge within rounding, or the mesh is not closed.
    """
    change = np.zeros((len(axis),) * 2 + (len(axis) + 1,), np.int32)
    spacing = axis[1] - axis[0] if len(axis) > 1 else 1.0
    triangles = vertices[faces]
    flat = triangles[..., :2] - spacing * np.array(_NUDGE)
    first = np.searchsorted(axis, flat.min(1).ravel()).reshape(-1, 2)
    last = np.searchsorted(axis, flat.max(1).ravel()).reshape(-1, 2)
    pairs = np.cumsum((last - first).prod(1))  # columns in each triangle's bounding rectangle
    blocks = pairs // _BLOCK
    for block in range(blocks[-1] + 1 if len(blocks) else 0):
        chosen = blocks == block
        _cross_columns(triangles[chosen], flat[chosen], first[chosen], last[chosen], axis, change)
    numbers = np.cumsum(change, axis=2)
    return None if numbers[..., -1].any() else numbers[..., :-1]


def _cross_columns(
    triangles: Float[np.ndarray, "f 3 3"],
    flat: Float[np.ndarray, "f 3 2"],
    first: Int[np.ndarray, "f 2"],
    last: Int[np.ndarray, "f 2"],
    axis: Float[np.ndarray, " n"],
    change: Int[np.ndarray, "n n n+1"],
) -> None:
    """Adds to `change` where these triangles cross the columns of their bounding rectangles."""
    extent = last - first
    pairs = extent.prod(1)  # columns in the bounding rectangle of each triangle
    face = np.repeat(np.arange(len(triangles)), pairs)
    within = np.arange(len(face)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    ix = first[face, 0] + within // extent[face, 1]
    iy = first[face, 1] + within % extent[face, 1]
    a, b, c = np.moveaxis(flat, 1, 0)
    area = _cross(b - a, c - a)
    point = np.stack([axis[ix], axis[iy]], 1)
    # Twice the areas of the triangles that the column makes with each edge.
    parts = [_cross(q[face] - p[face], point - p[face]) for p, q in ((b, c), (c, a), (a, b))]
    side = np.sign(area)[face]
    hit = (side != 0) & np.all([side * part > 0 for part in parts], axis=0)
    face, ix, iy, side = face[hit], ix[hit], iy[hit], side[hit]
    weights = np.stack([part[hit] for part in parts], 1) / area[face, None]
    height = np.sum(weights * triangles[face, :, 2], axis=1)
    # A face seen from below (its normal down, its area negative) is where a column enters.
    np.add.at(change, (ix, iy, np.searchsorted(axis, height)), -side.astype(np.int32))


def _cross(u: Float[np.ndarray, "n 2"], v: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
