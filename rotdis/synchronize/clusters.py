"""Whole clusters of objects turned at once, where the pairs that lead out of them agree on it.

Objects that agree with each other hold every one of themselves in place, however many pairs to
others disagree, and annealing single objects hardly leads out of that. So, as Swendsen and Wang did
for spins ("Nonuniversal critical dynamics in Monte Carlo simulations", 1987), clusters are turned
as one; here all those of a hierarchy of average linkage, from small to large.
"""

import heapq

import numpy as np
from jaxtyping import Float, Int

from rotdis.synchronize.pairs import group_tables


def turn(
    assignment: Int[np.ndarray, " n"],
    edges: Int[np.ndarray, "e 2"],
    scores: Float[np.ndarray, "e 24"],
    stay: Float[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """Returns an assignment no worse than the one given, with clusters turned that gain by it.

    Objects are merged, each time the two clusters of which, for their sizes, most is in favour of
    how they stand; each new cluster is turned at once if the objective of `solve` gains.

    Args:
        assignment: a rotation of the cube for each object, as indices.
        edges: pairs (i, j), each once.
        scores: how well rotate(i, g) fits j, for g of `so3.cube_group`.
        stay: what it counts that an object has the identity.
    """
    products, inverse = group_tables()
    number, assignment = len(assignment), assignment.copy()
    first, second = assignment[edges.T]
    # As objects stand now: what turning one of them further by g changes.
    further = products[inverse[second][:, None], products[:, first].T]
    scores = np.take_along_axis(np.asarray(scores, np.float64), further, axis=1)
    own = np.zeros((number, 24))
    own[np.arange(number), inverse[assignment]] = stay
    members = {i: [i] for i in range(number)}
    # between[a][b][g]: sum over pairs of the scores, where a is turned by g
    between: dict[int, dict[int, np.ndarray]] = {i: {} for i in range(number)}
    for (i, j), score in zip(edges.tolist(), scores, strict=True):
        between[i][j], between[j][i] = score, score[inverse]
    queue: list[tuple[float, int, int, int, int]] = []

    def enqueue(a: int, b: int) -> None:
        sizes = len(members[a]), len(members[b])
        score = between[a][b]
        heapq.heappush(queue, ((score.mean() - score[0]) / (sizes[0] * sizes[1]), a, b, *sizes))

    for i, j in edges.tolist():
        enqueue(i, j)
    while queue:
        _, a, b, *sizes = heapq.heappop(queue)
        if [len(members.get(a, ())), len(members.get(b, ()))] != sizes:
            continue  # one of them has been merged since
        if sizes[0] > sizes[1]:
            a, b = b, a
        del between[a][b], between[b][a]
        members[b] += members.pop(a)
        own[b] += own[a]
        for other, score in between.pop(a).items():
            del between[other][a]
            between[b][other] = between[b].get(other, 0) + score
        total = sum(between[b].values(), own[b])
        best = int(total.argmax())
        if total[best] > total[0] + 1e-6:
            assignment[members[b]] = products[best, assignment[members[b]]]
            own[b] = own[b][products[:, best]]
            between[b] = {other: s[products[:, best]] for other, s in between[b].items()}
        for other, score in between[b].items():
            between[other][b] = score[inverse]
            enqueue(b, other)
    return assignment
