"""Neighbours are found whatever way they are turned, with the rotation that fits."""

import numpy as np
import pytest
from synchronize.constructed import column, corner, slab

from rotdis.geometry import so3
from rotdis.synchronize import fields, pairs

GROUP = so3.cube_group()


def _turned(grid, turns):
    grids = np.repeat((grid[None] * 255).astype(np.uint8), len(turns), axis=0)
    return fields.turned(grids, GROUP[turns])


def _described(grids):
    """Two fields of each, as two variants of one description, and as a second one."""
    near, far = (pairs.of_volumes(fields.distance_fields(grids, decay)) for decay in (0.1, 0.3))
    both = np.concatenate([far.features, near.features], axis=1)
    return [far._replace(features=both), near]


def test_the_best_rotation_is_the_one_that_was_planted():
    turns = [0, 5, 17, 23]
    found = pairs.nearest(_described(_turned(corner(), turns)), 3)
    products, inverse = pairs.group_tables()
    assert found.edges.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    for (i, j), scores in zip(found.edges, found.scores, strict=True):
        assert scores.argmax() == products[turns[j], inverse[turns[i]]]
        assert np.isclose(scores.max(), 1, atol=1e-3) and (np.sort(scores)[-2] < 0.9)


def test_neighbours_are_of_the_same_kind_among_more_objects_than_landmarks():
    rng = np.random.default_rng(0)
    grids = [_turned(shape, rng.integers(0, 24, 24)) for shape in (corner(), slab(), column())]
    found = pairs.nearest(_described(np.concatenate(grids)), 4)
    kind = np.repeat([0, 1, 2], 24)
    assert (kind[found.edges[:, 0]] == kind[found.edges[:, 1]]).all()
    assert (np.bincount(found.edges.ravel(), minlength=72) >= 4).all()


@pytest.mark.parametrize("copies", [6, 40])  # as many as are shortlisted, and more
def test_kinds_of_copies_are_joined_where_that_is_asked_for(copies):
    rng = np.random.default_rng(0)
    kinds = [corner(), corner(rng), corner(rng)]
    turns = rng.integers(0, 24, 3 * copies)
    grids = np.concatenate(
        [_turned(kind, turns[i * copies :][:copies]) for i, kind in enumerate(kinds)]
    )
    kind = np.repeat([0, 1, 2], copies)
    apart, found = (pairs.nearest(_described(grids), 5, joined=each) for each in (False, True))
    assert (kind[apart.edges[:, 0]] == kind[apart.edges[:, 1]]).all()
    same = kind[found.edges[:, 0]] == kind[found.edges[:, 1]]
    assert {frozenset(pair) for pair in kind[found.edges[~same]].tolist()} >= {frozenset({0, 1})}
    assert 5 <= (~same).sum() <= 15
    assert found.edges[same].tolist() == apart.edges.tolist()
    np.testing.assert_array_equal(found.scores[same], apart.scores)
    # They fit at the rotations that were planted, clearly.
    products, inverse = pairs.group_tables()
    for (i, j), scores in zip(found.edges[~same], found.scores[~same], strict=True):
        assert scores.argmax() == products[turns[j], inverse[turns[i]]]
        assert scores.max() > 0.05 and scores.max() > 2 * np.sort(scores)[-2]


def test_a_symmetric_object_fits_in_each_of_its_ways():
    found = pairs.nearest(_described(_turned(column(), [0, 7])), 8)
    assert (found.scores[0] > 0.99).sum() == 8


def test_fewer_than_two_objects_have_no_pairs():
    for count in (0, 1):
        found = pairs.nearest([pairs.of_volumes(np.zeros((count, 16, 16, 16), np.uint8))], 8)
        assert found.edges.shape == (0, 2) and found.scores.shape == (0, 24)


def test_a_description_that_says_nothing_of_any_object_leaves_it_to_the_others():
    told = _described(_turned(corner(), [0, 5, 17]))
    silent = told[0]._replace(features=np.zeros_like(told[0].features))
    alone, both = pairs.nearest(told, 2), pairs.nearest([*told, silent], 2)
    assert np.allclose(both.scores, (3 * alone.scores + 2) / 5)
