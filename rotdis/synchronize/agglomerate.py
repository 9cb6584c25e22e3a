"""Frames that most comparisons of a training set agree on: synchronization over the cube's group.

Two alike objects, each in a frame of its own, show how their frames differ. Every such comparison
may err, above all by half turns; taken together they hardly do. The problem is Singer's ("Angular
Synchronization by Eigenvectors and Semidefinite Programming", 2011) over a finite group. It is
solved by agglomeration: clusters that share a frame are merged, and all comparisons between two
clusters vote on how they are turned against each other. The leading eigenvectors do worse, since
classes of objects are hardly connected. `solve`, for a folder of one kind, weighs all at once.
"""

import numpy as np
from jaxtyping import Float, Int

from rotdis.synchronize.alikeness import Comparisons
from rotdis.synchronize.pairs import group_tables

_ROUNDS = 30  # of votes on single objects


def common_frames(comparisons: Comparisons, count: int) -> Int[np.ndarray, " n"]:
    """Returns h for every object, such that turned by h^-1 those that are alike share a frame.

    Both what agglomeration finds and the frames that the objects already have are improved object
    by object; of the two, the one that the comparisons agree with more is taken.

    Args:
        comparisons: of the objects.
        count: N, the number of objects.

    Returns:
        Indices into `so3.cube_group`.
    """
    starts = (np.zeros(count, np.int64), agglomerate(comparisons, count))
    return max(
        (improve(comparisons, start) for start in starts), key=lambda h: agreement(comparisons, h)
    )


def agreement(comparisons: Comparisons, turns: Int[np.ndarray, " n"]) -> float:
    """Returns the log-likelihood of all comparisons, if h is `turns`."""
    product, inverse = group_tables()
    relative = product[turns[comparisons.first], inverse[turns[comparisons.second]]]
    return float(np.take_along_axis(comparisons.log_likelihood, relative[:, None], 1).sum())


def improve(comparisons: Comparisons, turns: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Lets the neighbours of each object vote on its turn, until no vote changes anything.

    Iterated conditional modes (Besag, 1986). Half of the objects, at random, may change at a time,
    or neighbours would swap their frames for ever.
    """
    product, inverse = group_tables()
    count, turns = len(turns), turns.copy()
    random = np.random.default_rng(0)
    first = np.concatenate([comparisons.first, comparisons.second])
    second = np.concatenate([comparisons.second, comparisons.first])
    likelihood = comparisons.log_likelihood
    likelihood = np.concatenate([likelihood, likelihood[:, inverse]])
    for _ in range(_ROUNDS):
        # With h, `first` agrees with `second` if their relative rotation is h h_second^-1.
        relative = product[np.arange(24)[None], inverse[turns[second]][:, None]]
        each = np.take_along_axis(likelihood, relative, axis=1)
        votes = np.stack([np.bincount(first, w, minlength=count) for w in each.T], 1)
        # Who is content, or has no neighbours, stays.
        wish = np.where(votes.max(1) > votes[np.arange(count), turns], votes.argmax(1), turns)
        if (wish == turns).all():
            break
        turns = np.where(random.random(count) < 0.5, wish, turns)
    return turns


def agglomerate(comparisons: Comparisons, count: int) -> Int[np.ndarray, " n"]:
    """Returns h for every object, such that turned by h^-1 all of them share one frame.

    Objects that no chain of comparisons connects keep frames of their own. What is common to all,
    and to each connected set, is arbitrary: most of the objects of a set have the identity.

    Args:
        comparisons: of the objects.
        count: N, the number of objects.

    Returns:
        Indices into `so3.cube_group`.
    """
    product, inverse = group_tables()
    turn = np.zeros(count, np.int64)  # h, as far as is known: relative to the own cluster
    cluster = np.arange(count)
    while True:
        pairs, votes, sizes = _vote(comparisons, cluster, turn, product, inverse)
        if not len(pairs):
            break
        # How far the winner stands out from chance, in deviations of a sum of so many votes.
        strength = (votes.max(1) - votes.mean(1)) / np.sqrt(sizes)
        into, joined, merged = _mutual_best(pairs, strength, count)
        moved = np.full(count, -1)
        moved[joined] = into
        change = np.zeros(count, np.int64)
        change[joined] = votes[merged].argmax(1)
        affected = moved[cluster] >= 0
        turn[affected] = product[turn[affected], change[cluster[affected]]]
        cluster[affected] = moved[cluster[affected]]
    for label in np.unique(cluster):
        members = cluster == label
        common = inverse[np.bincount(turn[members], minlength=24).argmax()]
        turn[members] = product[turn[members], common]
    return turn


def _vote(
    comparisons: Comparisons,
    cluster: Int[np.ndarray, " n"],
    turn: Int[np.ndarray, " n"],
    product: Int[np.ndarray, "24 24"],
    inverse: Int[np.ndarray, " 24"],
) -> tuple[Int[np.ndarray, "p 2"], Float[np.ndarray, "p 24"], Int[np.ndarray, " p"]]:
    """Returns all pairs of clusters (a, b) that are compared, and what the comparisons say.

    That is, for every c of the group, the log-likelihood that the frames agree once every turn h
    in b has become h c; and the number of comparisons.
    """
    first, second, likelihood = comparisons
    across = cluster[first] != cluster[second]
    first, second, likelihood = first[across], second[across], likelihood[across]
    swapped = cluster[first] > cluster[second]
    likelihood = np.where(swapped[:, None], likelihood[:, inverse], likelihood)
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    # They agree if g = h_first (h_second c)^-1.
    relative = product[
        turn[first][:, None], inverse[product[turn[second][:, None], np.arange(24)[None]]]
    ]
    each = np.take_along_axis(likelihood, relative, axis=1)
    pairs, place, sizes = np.unique(
        np.stack([cluster[first], cluster[second]], 1),
        axis=0,
        return_inverse=True,
        return_counts=True,
    )
    votes = np.stack([np.bincount(place.ravel(), w, minlength=len(pairs)) for w in each.T], 1)
    return pairs, votes, sizes


def _mutual_best(
    pairs: Int[np.ndarray, "p 2"], strength: Float[np.ndarray, " p"], count: int
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Returns the pairs each of whose clusters has no stronger one, and their places; at least one.

    Equal strengths are told apart by their place, so that the strongest of all is among them.
    """
    order = np.argsort(strength, kind="stable")
    best = np.full(count, -1)
    best[pairs[order, 0]] = order  # of repeated indices, the last one stays: the strongest
    other = np.full(count, -1)
    other[pairs[order, 1]] = order
    rank = np.full(len(pairs) + 1, -1)
    rank[order] = np.arange(len(pairs))
    strongest = np.where(rank[best] > rank[other], best, other)
    mutual = np.flatnonzero(
        (strongest[pairs[:, 0]] == np.arange(len(pairs)))
        & (strongest[pairs[:, 1]] == np.arange(len(pairs)))
    )
    return pairs[mutual, 0], pairs[mutual, 1], mutual
