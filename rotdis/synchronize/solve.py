"""One rotation of the cube for every object, from how pairs of them overlap.

This is synchronization over a group (Singer, "Angular synchronization by eigenvectors and
semidefinite programming", 2011) for the finite group of the cube's 24 rotations, and with a whole
vector of scores on each pair instead of one measured rotation, since a pair of similar parts often
fits nearly as well in several ways. Clusters of objects are merged greedily, as in average-linkage
clustering, each time by the rotation on which the pairs between the two clusters agree best; then
objects are turned one by one while that helps (iterated conditional modes, Besag, "On the
Statistical Analysis of Dirty Pictures", 1986).
"""

import heapq

import numpy as np
from jaxtyping import Float, Int

from rotdis.synchronize.pairs import group_tables

_SWEEPS = 30  # at most, over all objects


def solve(
    number: int, edges: Int[np.ndarray, "e 2"], scores: Float[np.ndarray, "e 24"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Returns a rotation of the cube for each object, under which the pairs agree best.

    Maximizes the sum over pairs (i, j) of scores[g], g = inverse(g_j) g_i. Two starts are improved
    locally, the merged clusters and no rotation at all, and the better one is kept.

    Args:
        number: N, of objects.
        edges: pairs (i, j), each once.
        scores: how well rotate(i, g) fits j, for g of `so3.cube_group`.

    Returns:
        Indices into `so3.cube_group`, and the number of each object's connected component. Within
        a component a common rotation of all objects is arbitrary.
    """
    neighbours = _neighbours(number, edges, scores)
    merged, component = _merge(number, edges, scores)
    best, best_score = None, -np.inf
    for start in (np.zeros(number, int), merged):
        assignment = _improve(start, neighbours)
        score = objective(assignment, edges, scores)
        if score > best_score + 1e-6:
            best, best_score = assignment, score
    return best, component


def objective(
    assignment: Int[np.ndarray, " n"],
    edges: Int[np.ndarray, "e 2"],
    scores: Float[np.ndarray, "e 24"],
) -> float:
    """Returns the sum of the pairs' scores under an assignment."""
    products, inverse = group_tables()
    relative = products[inverse[assignment[edges[:, 1]]], assignment[edges[:, 0]]]
    return float(scores[np.arange(len(edges)), relative].sum())


def _neighbours(number, edges, scores) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns for each object i its neighbours j, and the scores of rotate(i, g) on each j."""
    _, inverse = group_tables()
    found = [([], []) for _ in range(number)]
    for (i, j), score in zip(edges, scores, strict=True):
        found[i][0].append(j)
        found[i][1].append(score)
        found[j][0].append(i)
        found[j][1].append(score[inverse])
    return [
        (np.array(others, int), np.array(values, np.float64).reshape(-1, 24))
        for others, values in found
    ]


def _improve(start: Int[np.ndarray, " n"], neighbours: list) -> Int[np.ndarray, " n"]:
    """Turns single objects as their neighbours would have it, until none wants to be turned."""
    products, inverse = group_tables()
    assignment = start.copy()
    for _ in range(_SWEEPS):
        changed = False
        for i, (others, values) in enumerate(neighbours):
            if not len(others):
                continue
            # (others, 24): the relative rotation if i is turned by each g
            relative = products[inverse[assignment[others]]]
            total = np.take_along_axis(values, relative, axis=1).sum(axis=0)
            best = int(total.argmax())
            if total[best] > total[assignment[i]] + 1e-6:
                assignment[i], changed = best, True
        if not changed:
            break
    return assignment


def _merge(number, edges, scores) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    products, inverse = group_tables()
    assignment = np.zeros(number, int)
    members = {i: [i] for i in range(number)}
    # between[a][b]: sum over pairs of the scores of turning cluster a onto b; and their number
    between: dict[int, dict[int, tuple[np.ndarray, int]]] = {i: {} for i in range(number)}
    for (i, j), score in zip(edges.tolist(), np.asarray(scores, np.float64), strict=True):
        between[i][j] = (score, 1)
        between[j][i] = (score[inverse], 1)
    queue = [(-between[i][j][0].max(), i, j, 1, 1) for i, j in edges.tolist()]
    heapq.heapify(queue)
    while queue:
        _, a, b, size_a, size_b = heapq.heappop(queue)
        if len(members.get(a, ())) != size_a or len(members.get(b, ())) != size_b:
            continue  # one of them has been merged since
        if size_a > size_b:
            a, b = b, a
        total, _ = between[a].pop(b)
        del between[b][a]
        turn = int(total.argmax())
        assignment[members[a]] = products[turn, assignment[members[a]]]
        members[b] += members.pop(a)
        for other, (values, count) in between.pop(a).items():
            del between[other][a]
            # a stands turned by `turn` now: h of the new a is h * turn of the old one
            values = values[products[:, turn]]
            if other in between[b]:
                old, old_count = between[b][other]
                values, count = values + old, count + old_count
            between[b][other] = (values, count)
            between[other][b] = (values[inverse], count)
        for other, (values, count) in between[b].items():
            entry = (-values.max() / count, b, other, len(members[b]), len(members[other]))
            heapq.heappush(queue, entry)
    component = np.zeros(number, int)
    for label, own in enumerate(sorted(members.values(), key=min)):
        component[own] = label
    return assignment, component
