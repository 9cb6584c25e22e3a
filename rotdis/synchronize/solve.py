"""One rotation of the cube for every object, from how pairs of them overlap.

This is synchronization over a group (Singer, "Angular synchronization by eigenvectors and
semidefinite programming", 2011) for the finite group of the cube's 24 rotations, and with a whole
vector of scores on each pair instead of one measured rotation, since a pair of similar parts often
fits nearly as well in several ways. Clusters of objects are merged greedily, as in average-linkage
clustering, each time by the rotation on which the pairs between the two clusters agree best; then
objects are turned one by one, at first with some randomness that cools down (Geman and Geman,
"Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of Images", 1984), since
merging is easily misled by the first few pairs.
"""

import heapq

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from rotdis.synchronize.pairs import group_tables

_SWEEPS = 30  # at most, over all objects
_RESTARTS = 4  # annealed ones, of each start
_HEAT = 0.6  # of an object's typical total score, where annealing begins
_COOLING = 30  # sweeps of annealing


def solve(
    number: int,
    edges: Int[np.ndarray, "e 2"],
    scores: Float[np.ndarray, "e 24"],
    *,
    inertia: float = 0.0,
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Returns a rotation of the cube for each object, under which the pairs agree best.

    Maximizes the sum over pairs (i, j) of scores[g], g = inverse(g_j) g_i, and of what it counts to
    stay. Starts from no rotation at all and from merged clusters, improves both a few times, and
    keeps the best; so it is never worse than leaving all objects as they are. The same input gives
    the same answer.

    Args:
        number: N, of objects.
        edges: pairs (i, j), each once.
        scores: how well rotate(i, g) fits j, for g of `so3.cube_group`.
        inertia: what it counts, for each pair of an object, to leave the object as it is; with
            any, merged clusters, which turn most objects, are no start.

    Returns:
        Indices into `so3.cube_group`, and the number of each object's connected component. What
        the pairs leave open, a common rotation of a component, is chosen so that as many of its
        objects as possible stay as they are.
    """
    neighbours = _neighbours(number, edges, scores)
    links = sparse.coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(number, number))
    component = sparse.csgraph.connected_components(links, directed=False)[1]
    starts = [np.zeros(number, int)]
    if not inertia:
        starts.append(_merge(number, edges, scores))
    stay = inertia * np.bincount(edges.reshape(-1), minlength=number)
    best, best_score = starts[0], -np.inf
    heat = _HEAT * scores.std() * np.sqrt(2 * len(edges) / number) if len(edges) else 0.0
    for start in starts:
        for seed in (None, *range(_RESTARTS)):
            begun = start if seed is None else _anneal(start, neighbours, stay, heat, seed)
            assignment = _improve(begun, neighbours, stay)
            score = objective(assignment, edges, scores) + stay[assignment == 0].sum()
            if score > best_score + 1e-6:
                best, best_score = assignment, score
    return _least_turned(best, component), component


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


def _anneal(
    start: Int[np.ndarray, " n"],
    neighbours: list,
    stay: Float[np.ndarray, " n"],
    heat: float,
    seed: int,
) -> Int[np.ndarray, " n"]:
    """Draws each object's rotation given its neighbours', at falling temperatures."""
    random = np.random.default_rng(seed)
    assignment = start.copy()
    for temperature in np.geomspace(heat, heat / 30, _COOLING) if heat > 0 else ():
        # The largest of values with Gumbel noise is a draw from their softmax.
        noise = temperature * random.gumbel(size=(len(assignment), 24))
        for i, neighbour in enumerate(neighbours):
            if len(neighbour[0]):
                assignment[i] = (_wishes(assignment, neighbour, stay[i]) + noise[i]).argmax()
    return assignment


def _improve(
    start: Int[np.ndarray, " n"], neighbours: list, stay: Float[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Turns single objects as their neighbours would have it, until none wants to be turned."""
    assignment = start.copy()
    for _ in range(_SWEEPS):
        changed = False
        for i, neighbour in enumerate(neighbours):
            if not len(neighbour[0]):
                continue
            total = _wishes(assignment, neighbour, stay[i])
            best = int(total.argmax())
            if total[best] > total[assignment[i]] + 1e-6:
                assignment[i], changed = best, True
        if not changed:
            break
    return assignment


def _wishes(
    assignment: Int[np.ndarray, " n"], neighbour: tuple, stay: float
) -> Float[np.ndarray, " 24"]:
    """Returns the sum of an object's scores for each rotation that it might have."""
    products, inverse = group_tables()
    others, values = neighbour
    relative = products[inverse[assignment[others]]]
    total = values[np.arange(len(others))[:, None], relative].sum(axis=0)
    total[0] += stay
    return total


def _least_turned(
    assignment: Int[np.ndarray, " n"], component: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Turns each component back by the rotation that most of its objects have."""
    products, inverse = group_tables()
    result = assignment.copy()
    for label in range(component.max(initial=-1) + 1):
        own = component == label
        commonest = np.bincount(assignment[own], minlength=24).argmax()
        result[own] = products[inverse[commonest], assignment[own]]
    return result


def _merge(number, edges, scores) -> Int[np.ndarray, " n"]:
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
    return assignment
