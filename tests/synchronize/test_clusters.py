"""Clusters turn as one where that gains, and where no object would turn alone."""

import itertools

import numpy as np
import pytest

from rotdis.synchronize import clusters, solve
from rotdis.synchronize.pairs import group_tables

PRODUCTS, INVERSE = group_tables()


def _value(assignment, edges, scores, stay):
    return solve.objective(assignment, edges, scores) + stay[assignment == 0].sum()


def _groups(turns, size, bridges, rng):
    """Returns groups that agree, and pairs between them that fit where each is turned by `turns`.

    Within a group all objects fit as they stand, those of two groups g and h at g^-1 h alone.
    """
    edges, scores = [], []

    def add(i, j, fits):
        edges.append((i, j))
        scores.append(np.where(np.arange(24) == fits, 0.0, -0.5))

    for group in range(len(turns)):
        for i, j in itertools.combinations(range(group * size, (group + 1) * size), 2):
            add(i, j, 0)
    for g, h in itertools.combinations(range(len(turns)), 2):
        for _ in range(bridges):
            i, j = g * size + rng.integers(size), h * size + rng.integers(size)
            if (i, j) not in edges:
                add(i, j, PRODUCTS[INVERSE[turns[h]], turns[g]])
    return np.array(edges), np.array(scores)


def test_what_holds_together_turns_as_one_and_not_object_by_object():
    edges, scores = _groups((0, 5), 12, 20, np.random.default_rng(0))
    number, still = 24, np.zeros(24, int)
    neighbours = solve._neighbours(number, edges, scores)
    assert (solve._improve(still, neighbours, np.zeros(number)) == 0).all()
    turned = clusters.turn(still, edges, scores, np.zeros(number))
    assert sorted(np.unique(turned, return_counts=True)[1]) == [12, 12]
    assert solve.objective(turned, edges, scores) == 0


def test_it_turns_where_that_gains_more_than_to_stay_is_worth():
    edges, scores = _groups((0, 5), 12, 20, np.random.default_rng(0))
    gain = 0.5 * (len(edges) - 2 * 66)
    for stay, turns in ((0.9 * gain / 12, True), (1.1 * gain / 12, False)):
        turned = clusters.turn(np.zeros(24, int), edges, scores, np.full(24, stay))
        assert turned.any() == turns


@pytest.mark.parametrize("seed", range(4))
def test_many_clusters_find_their_common_frame(seed):
    rng = np.random.default_rng(seed)
    turns = rng.integers(0, 24, 8)
    edges, scores = _groups(turns, 9, 6, rng)
    assignment, _ = solve.solve(72, edges, scores)
    assert solve.objective(assignment, edges, scores) == 0
    # Found up to one rotation that all have in common.
    assert len(set(PRODUCTS[assignment, INVERSE[turns.repeat(9)]])) == 1


@pytest.mark.parametrize("bridges", [1, 10])
@pytest.mark.parametrize("seed", range(4))
def test_clusters_that_stand_anyhow_are_turned_to_where_all_pairs_fit(seed, bridges):
    """Without annealing: each turn, and what it changes of later ones, has to be the right one."""
    rng = np.random.default_rng(seed)
    turns, standing = rng.integers(0, 24, (2, 6))
    edges, scores = _groups(turns, 4, bridges, rng)
    place = rng.permutation(24)  # so that groups merge in any order
    edges, given = place[edges], standing.repeat(4)[place.argsort()]
    turned = clusters.turn(given, edges, scores, np.zeros(24))
    assert solve.objective(given, edges, scores) < 0 == solve.objective(turned, edges, scores)


@pytest.mark.parametrize("seed", range(4))
def test_clusters_turn_back_to_where_they_are_said_to_stay(seed):
    """Whole groups stand turned, some in several steps; as they came they fit as well."""
    rng = np.random.default_rng(seed)
    edges, scores = _groups(np.zeros(6, int), 4, 10, rng)
    given = np.full(24, rng.integers(1, 24))
    assert not clusters.turn(given, edges, scores, np.full(24, 0.1)).any()
    given = rng.integers(0, 24, 6).repeat(4)
    assert not clusters.turn(given, edges, scores, np.full(24, 0.1)).any()


@pytest.mark.parametrize("seed", range(6))
def test_the_answer_is_never_worse_than_what_was_given(seed):
    rng = np.random.default_rng(seed)
    pairs = list(itertools.combinations(range(40), 2))
    edges = np.array([pairs[i] for i in rng.choice(len(pairs), 100 + 40 * seed, replace=False)])
    scores, stay = rng.uniform(-0.5, 0, (len(edges), 24)), rng.uniform(0, 0.5, 40)
    given = rng.integers(0, 24, 40)
    turned = clusters.turn(given, edges, scores, stay)
    assert _value(turned, edges, scores, stay) > _value(given, edges, scores, stay)


def test_without_pairs_there_is_nothing_to_turn():
    given = np.array([3, 0, 7])
    turned = clusters.turn(given, np.zeros((0, 2), int), np.zeros((0, 24)), np.ones(3))
    assert (turned == given).all()
