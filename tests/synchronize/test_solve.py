"""Planted rotations of the cube are found again, up to one that all objects have in common."""

import numpy as np
import pytest

from rotdis.synchronize import solve
from rotdis.synchronize.pairs import group_tables

PRODUCTS, INVERSE = group_tables()


def _planted(number, rng, degree=4, wrong=0.0):
    """Returns a connected graph's scores that are highest where the planted answer is undone."""
    planted = rng.integers(0, 24, number)
    pairs = {(i, i + 1) for i in range(number - 1)}
    while len(pairs) < min(degree, number - 1) * number // 2:
        i, j = sorted(rng.choice(number, 2, replace=False).tolist())
        pairs.add((i, j))
    edges = np.array(sorted(pairs))
    scores = rng.uniform(0, 0.5, (len(edges), 24))
    # a_i = inverse(planted_i) undoes it, and inverse(a_j) a_i = planted_j inverse(planted_i).
    right = PRODUCTS[planted[edges[:, 1]], INVERSE[planted[edges[:, 0]]]]
    misled = rng.uniform(size=len(edges)) < wrong
    right = np.where(misled, rng.integers(0, 24, len(edges)), right)
    scores[np.arange(len(edges)), right] = 1
    return planted, edges, scores


def _common(assignment, planted):
    """What is left of the planted rotations: one number where they were found."""
    return PRODUCTS[assignment, planted]


def test_the_group_has_inverses_and_its_identity_first():
    assert (PRODUCTS[0] == np.arange(24)).all() and (PRODUCTS[np.arange(24), INVERSE] == 0).all()


@pytest.mark.parametrize("number", [2, 9, 80])
def test_planted_rotations_are_found(number):
    planted, edges, scores = _planted(number, np.random.default_rng(number))
    assignment, component = solve.solve(number, edges, scores)
    assert len(set(_common(assignment, planted))) == 1
    assert (component == 0).all()


def test_a_quarter_of_the_pairs_may_mislead():
    planted, edges, scores = _planted(120, np.random.default_rng(1), degree=10, wrong=0.25)
    assignment, _ = solve.solve(120, edges, scores)
    counts = np.bincount(_common(assignment, planted))
    assert counts.max() >= 118


def test_objects_that_do_not_hang_together_are_solved_apart():
    rng = np.random.default_rng(2)
    one, two = (_planted(6, rng) for _ in range(2))
    edges = np.concatenate([one[1], two[1] + 6])
    assignment, component = solve.solve(13, edges, np.concatenate([one[2], two[2]]))
    assert component.tolist() == [0] * 6 + [1] * 6 + [2]
    for part, (planted, *_) in ((slice(0, 6), one), (slice(6, 12), two)):
        assert len(set(_common(assignment[part], planted))) == 1


def test_what_agrees_already_is_left_as_it_is():
    _, edges, scores = _planted(30, np.random.default_rng(3))
    right = np.zeros_like(scores)
    right[:, 0] = 1
    assert (solve.solve(30, edges, right)[0] == 0).all()


def test_as_many_objects_as_possible_of_each_part_stay_as_they_are():
    one, two = (_planted(60, np.random.default_rng(seed)) for seed in (7, 8))
    edges = np.concatenate([one[1], two[1] + 60])
    assignment, _ = solve.solve(120, edges, np.concatenate([one[2], two[2]]))
    for part, (planted, *_) in ((assignment[:60], one), (assignment[60:], two)):
        assert len(set(_common(part, planted))) == 1
        assert np.count_nonzero(part == 0) == np.bincount(planted).max() > 3


def test_inertia_keeps_objects_where_comparisons_hardly_want_to_turn_them():
    # Two groups, each agreed, and ten pairs between them that fit a little better turned.
    edges = np.array([(i, j) for i in range(20) for j in range(i + 1, 20) if i // 10 == j // 10])
    between = np.stack([np.arange(10), 10 + np.arange(10)], axis=1)
    scores = np.zeros((100, 24))
    scores[:90, 0], scores[90:, 5] = 1, 0.3
    edges = np.concatenate([edges, between])
    turned, _ = solve.solve(20, edges, scores)
    assert np.count_nonzero(turned) == 10
    kept, _ = solve.solve(20, edges, scores, inertia=0.05)
    assert not kept.any()


@pytest.mark.parametrize("inertia", [0.0, 0.05])
def test_the_answer_is_no_worse_than_the_start_nor_than_the_truth(inertia):
    planted, edges, scores = _planted(60, np.random.default_rng(6), degree=8, wrong=0.4)
    stay = inertia * np.bincount(edges.reshape(-1), minlength=60)

    def worth(assignment):
        return solve.objective(assignment, edges, scores) + stay[assignment == 0].sum()

    reached = worth(solve.solve(60, edges, scores, inertia=inertia)[0])
    assert reached >= worth(np.zeros(60, int))
    assert reached >= worth(INVERSE[planted]) - 1e-6


def test_of_a_common_rotation_the_objects_with_more_pairs_stay_where_there_is_inertia():
    # Four that are compared with each other, five that hang on one of them and fit it turned.
    clique = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    edges = np.array(clique + [(0, i) for i in range(4, 9)])
    scores = np.zeros((len(edges), 24))
    scores[: len(clique), 0], scores[len(clique) :, 5] = 0.01, 0.04
    assert solve.solve(9, edges, scores)[0].tolist() == [5] * 4 + [0] * 5
    kept, _ = solve.solve(9, edges, scores, inertia=0.03)
    assert kept.tolist() == [0] * 4 + [int(INVERSE[5])] * 5
