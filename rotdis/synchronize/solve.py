"""One rotation of the cube for every object, from how pairs of them overlap.

This is synchronization over a group (Singer, "Angular synchronization by eigenvectors and
semidefinite programming", 2011) for the finite group of the cube's 24 rotations, and with a whole
vector of scores on each pair instead of one measured rotation, since a pair of similar parts often
fits nearly as well in several ways. Objects are turned one by one, at first with some randomness
that cools down (Geman and Geman, "Stochastic Relaxation, Gibbs Distributions, and the Bayesian
Restoration of Images", 1984), and whole clusters of them at once (`clusters`), in turns until
neither gains.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from rotdis.synchronize import clusters
from rotdis.synchronize.pairs import group_tables

_SWEEPS = 30  # at most, over all objects
_RESTARTS = 4  # annealed ones
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
    stay. Starts from no rotation at all, a few times, and keeps the best; so it is never worse than
    leaving all objects as they are. The same input gives the same answer.

    Args:
        number: N, of objects.
        edges: pairs (i, j), each once.
        scores: how well rotate(i, g) fits j, for g of `so3.cube_group`.
        inertia: what it counts, for each pair of an object, to leave the object as it is.

    Returns:
        Indices into `so3.cube_group`, and the number of each object's connected component. What
        the pairs leave open, a common rotation of a component, is chosen so that as many of its
        objects as possible stay as they are, weighed by their pairs where there is inertia.
    """
    neighbours = _neighbours(number, edges, scores)
    links = sparse.coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(number, number))
    component = sparse.csgraph.connected_components(links, directed=False)[1]
    stay = inertia * np.bincount(edges.reshape(-1), minlength=number)
    best, best_score = np.zeros(number, int), -np.inf
    heat = _HEAT * scores.std() * np.sqrt(2 * len(edges) / number) if len(edges) else 0.0
    for seed in (None, *range(_RESTARTS)):
        begun = np.zeros(number, int)
        if seed is not None:
            begun = _anneal(begun, neighbours, stay, heat, seed)
        assignment, score = _local_optimum(begun, neighbours, edges, scores, stay)
        if score > best_score + 1e-6:
            best, best_score = assignment, score
    weight = stay if inertia else np.ones(number)
    return _least_turned(best, component, weight), component


def objective(
    assignment: Int[np.ndarray, " n"],
    edges: Int[np.ndarray, "e 2"],
    scores: Float[np.ndarray, "e 24"],
) -> float:
    """Returns the sum of the pairs' scores under an assignment."""
    products, inverse = group_tables()
    relative = products[inverse[assignment[edges[:, 1]]], assignment[edges[:, 0]]]
    return float(scores[np.arange(len(edges)), relative].sum())


def _local_optimum(
    start: Int[np.ndarray, " n"],
    neighbours: list,
    edges: Int[np.ndarray, "e 2"],
    scores: Float[np.ndarray, "e 24"],
    stay: Float[np.ndarray, " n"],
) -> tuple[Int[np.ndarray, " n"], float]:
    """Turns objects and clusters in turns, until neither gains; returns what that gives, too."""
    assignment, score = start, -np.inf
    for _ in range(_SWEEPS):
        improved = _improve(assignment, neighbours, stay)
        reached = objective(improved, edges, scores) + stay[improved == 0].sum()
        if reached <= score + 1e-6:
            break
        assignment, score = clusters.turn(improved, edges, scores, stay), reached
    return improved, reached


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
    assignment: Int[np.ndarray, " n"],
    component: Int[np.ndarray, " n"],
    weight: Float[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """Turns each component back by the rotation that most of its objects have, by weight."""
    products, inverse = group_tables()
    result = assignment.copy()
    for label in range(component.max(initial=-1) + 1):
        own = component == label
        commonest = np.bincount(assignment[own], weight[own], minlength=24).argmax()
        result[own] = products[inverse[commonest], assignment[own]]
    return result
