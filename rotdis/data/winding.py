"""Mends the winding of a mesh's faces for `meshes`, so that their winding numbers mean inside.

`trimesh.repair.fix_winding` does the part over shared edges too, face by face in Python; here it is
a spanning forest, in milliseconds whatever the file. It cannot help with faces that are there
twice, once from each side, as in half of ModelNet: their winding numbers cancel.
"""

import itertools

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph

# An edge of more faces says nothing of which belong together, and pairs grow with the square.
_MOST_FACES_AN_EDGE = 8


def first_copies(faces: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, " f"]:
    """Marks the first of the faces with the same corners in the same turning direction."""
    rolled = np.stack([np.roll(faces, shift, axis=1) for shift in range(3)])
    smallest_first = rolled[faces.argmin(axis=1) * -1 % 3, np.arange(len(faces))]
    return _first(smallest_first)


def front_sides(faces: Int[np.ndarray, "f 3"], num_vertices: int) -> Bool[np.ndarray, " f"]:
    """Marks all faces but the second of each two-sided one, in parts that are two-sided throughout.

    Part means connected by vertices. Where only some faces have a reversed twin, the two are the
    wall that two solids share; cancelling is right there, and both stay.
    """
    corners = np.sort(faces, axis=1)
    _, twin, copies = np.unique(corners, axis=0, return_inverse=True, return_counts=True)
    two_sided = copies[twin.reshape(-1)] > 1
    part = _parts(faces, num_vertices)
    share = np.bincount(part, two_sided) / np.maximum(np.bincount(part), 1)
    return _first(corners) | (share[part] <= 0.5)


def orient(
    vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]
) -> tuple[Int[np.ndarray, "f 3"], int, int]:
    """Turns faces so that neighbours agree, and each patch of neighbours so that it faces outward.

    A patch that is closed, or bent enough to have a clear inside, faces outward when the volume
    under it, seen from its centroid, is positive; a flat one keeps the direction that most of its
    area had.

    Returns:
        The faces; how many were turned to agree with their neighbours; how many were turned because
        their patch was inside out.
    """
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    flip, patch = _agree(faces, normal / np.maximum(area, np.finfo(float).tiny)[:, None])

    patches = patch.max() + 1
    patch_area = np.bincount(patch, area, patches)
    flip ^= (np.bincount(patch, area * flip, patches) > patch_area / 2)[patch]
    disagreeing = int(flip.sum())

    middle = corners.mean(axis=1)
    moment = [np.bincount(patch, area * coordinate, patches) for coordinate in middle.T]
    centroid = np.stack(moment, axis=1) / np.maximum(patch_area, np.finfo(float).tiny)[:, None]
    volume = np.einsum("fi,fi->f", middle - centroid[patch], normal) * np.where(flip, -1, 1)
    # In these units a sphere has volume = 0.21 area^1.5, and a sheet none, up to rounding.
    inside_out = (np.bincount(patch, volume, patches) < -1e-4 * patch_area**1.5)[patch]
    flip ^= inside_out
    turned = np.where(flip[:, None], faces[:, ::-1], faces)
    return turned, disagreeing, int(inside_out.sum())


def _agree(
    faces: Int[np.ndarray, "f 3"], normal: Float[np.ndarray, "f 3"]
) -> tuple[Bool[np.ndarray, " f"], Int[np.ndarray, " f"]]:
    """Which faces to turn so that neighbours agree, and the patch of neighbours of each face.

    Agreement spreads along a spanning forest, first over the edges of two faces, then over those
    of more, there from a face to the one that goes on flattest.
    """
    one, other, opposed, cost = _neighbours(faces, normal)
    if _is_balanced(faces):  # agrees already; edges of many faces must not make it doubt
        one, other, cost, opposed = one[opposed], other[opposed], cost[opposed], opposed[opposed]
    order = np.argsort(cost, kind="stable")
    one, other, opposed = one[order], other[order], opposed[order]
    # Ranks are distinct, so that the forest's weights say which pair each of its edges was.
    pair, best = np.unique(one * len(faces) + other, return_index=True)
    size = (len(faces), len(faces))
    graph = sparse.coo_matrix((best + 1.0, np.divmod(pair, len(faces))), shape=size)
    forest = csgraph.minimum_spanning_tree(graph.tocsr()).tocoo()
    _, patch = csgraph.connected_components(forest, directed=False)
    # Two nodes a face, as it is and turned: a tree splits into two halves, mirrored.
    turn = np.where(opposed[forest.data.astype(np.int64) - 1], 0, 1)
    rows = np.concatenate([2 * forest.row, 2 * forest.row + 1])
    columns = np.concatenate([2 * forest.col + turn, 2 * forest.col + 1 - turn])
    cover = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(2 * len(faces),) * 2)
    _, half = csgraph.connected_components(cover, directed=False)
    return half[0::2] > half[1::2], patch


def _neighbours(
    faces: Int[np.ndarray, "f 3"], normal: Float[np.ndarray, "f 3"]
) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Pairs (smaller index first) of faces at one edge; whether they pass it in opposite ways, so
    agree; and a cost, lower where the two belong together more surely."""
    edges = _edges(faces)
    _, edge, copies = np.unique(_undirected(edges), return_inverse=True, return_counts=True)
    order = np.argsort(edge, kind="stable")
    starts = np.concatenate([[0], np.cumsum(copies)[:-1]])
    found = []
    for count in range(2, min(copies.max(), _MOST_FACES_AN_EDGE) + 1):
        for i, j in itertools.combinations(range(count), 2):
            one, other = order[starts[copies == count] + i], order[starts[copies == count] + j]
            opposed = edges[one, 0] != edges[other, 0]
            one, other = one // 3, other // 3
            bend = 1 - np.einsum("ni,ni->n", normal[one], normal[other]) * np.where(opposed, 1, -1)
            found.append((one, other, opposed, bend + (10.0 if count > 2 else 0.0)))
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty.astype(bool), empty.astype(float)
    one, other, opposed, cost = (np.concatenate(column) for column in zip(*found, strict=True))
    return np.minimum(one, other), np.maximum(one, other), opposed, cost


def _is_balanced(faces: Int[np.ndarray, "f 3"]) -> bool:
    """Whether every edge is passed as often one way as the other, but for those of one face."""
    edges = _edges(faces)
    _, edge, copies = np.unique(_undirected(edges), return_inverse=True, return_counts=True)
    sense = np.bincount(edge, np.where(edges[:, 0] < edges[:, 1], 1, -1))
    return not sense[copies > 1].any()


def open_edges(faces: Int[np.ndarray, "f 3"]) -> int:
    """Counts the edges that have a face on one side only."""
    _, copies = np.unique(_undirected(_edges(faces)), return_counts=True)
    return int((copies == 1).sum())


def count_parts(faces: Int[np.ndarray, "f 3"], num_vertices: int) -> int:
    """Counts the parts that share no vertex."""
    return len(np.unique(_parts(faces, num_vertices)))


def _edges(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "3f 2"]:
    return faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)


def _undirected(edges: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
    """One number for each edge, the same for both directions: sorted in half of the memory."""
    low, high = edges.min(axis=1).astype(np.int64), edges.max(axis=1)
    return low * (int(high.max(initial=0)) + 1) + high


def _first(rows: Int[np.ndarray, "f n"]) -> Bool[np.ndarray, " f"]:
    marks = np.zeros(len(rows), dtype=bool)
    marks[np.unique(rows, axis=0, return_index=True)[1]] = True
    return marks


def _parts(faces: Int[np.ndarray, "f 3"], num_vertices: int) -> Int[np.ndarray, " f"]:
    rows = np.concatenate([faces[:, 0], faces[:, 0]])
    columns = np.concatenate([faces[:, 1], faces[:, 2]])
    graph = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(num_vertices,) * 2)
    return csgraph.connected_components(graph, directed=False)[1][faces[:, 0]]
