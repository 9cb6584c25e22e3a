"""Laws of synchronization: frames that were scrambled come back, and mistakes are outvoted."""

import numpy as np

from rotdis.geometry import so3
from rotdis.synchronize.agglomerate import agglomerate, agreement, common_frames, improve
from rotdis.synchronize.alikeness import Comparisons

GROUP = so3.cube_group()


def _index(rotations):
    return np.einsum("nij,gij->ng", rotations, GROUP).argmax(1)


def _comparisons(scramble, pairs, wrong=0.0, seed=0):
    """Comparisons of objects that share a frame once turned by `scramble`^-1; some of them lie."""
    random = np.random.default_rng(seed)
    first, second = pairs.T
    relative = _index(GROUP[scramble[first]] @ GROUP[scramble[second]].transpose(0, 2, 1))
    lying = random.random(len(pairs)) < wrong
    relative[lying] = random.integers(0, 24, lying.sum())
    return Comparisons(first, second, np.log(0.9 * np.eye(24)[relative] + 0.1 / 24))


def _pairs(count, neighbours, seed=1):
    random = np.random.default_rng(seed)
    first = np.repeat(np.arange(count), neighbours)
    return np.stack([first, (first + random.integers(1, count, len(first))) % count], 1)


def _share(scramble, found):
    """The share of objects in the largest common frame."""
    frames = _index(GROUP[scramble].transpose(0, 2, 1) @ GROUP[found])
    return np.bincount(frames).max() / len(frames)


def test_scrambled_frames_are_found_again_up_to_a_common_rotation():
    scramble = np.random.default_rng(0).integers(0, 24, 60)
    found = agglomerate(_comparisons(scramble, _pairs(60, 4)), 60)
    assert _share(scramble, found) == 1


def test_wrong_comparisons_are_outvoted():
    scramble = np.random.default_rng(0).integers(0, 24, 200)
    comparisons = _comparisons(scramble, _pairs(200, 10), wrong=0.4)
    assert _share(scramble, agglomerate(comparisons, 200)) > 0.97


def test_frames_that_agree_already_stay():
    scramble = np.full(40, 7)
    found = agglomerate(_comparisons(scramble, _pairs(40, 3)), 40)
    assert (found == 0).all()


def test_sets_that_nothing_connects_are_each_brought_together():
    scramble = np.random.default_rng(2).integers(0, 24, 40)
    pairs = np.concatenate([_pairs(20, 4), _pairs(20, 4) + 20])
    found = agglomerate(_comparisons(scramble, pairs), 40)
    assert _share(scramble[:20], found[:20]) == _share(scramble[20:], found[20:]) == 1


def test_a_object_that_is_compared_with_none_keeps_its_frame():
    scramble = np.random.default_rng(3).integers(0, 24, 11)
    found = agglomerate(_comparisons(scramble, _pairs(10, 4)), 11)
    assert found[10] == 0


def test_a_few_wrong_frames_are_mended_by_their_neighbours():
    scramble = np.full(100, 5)
    comparisons = _comparisons(scramble, _pairs(100, 10), wrong=0.2)
    wrong = np.zeros(100, int)
    wrong[::10] = np.arange(1, 11)
    assert (improve(comparisons, wrong) == 0).all()


def test_two_objects_do_not_swap_their_frames_for_ever():
    comparisons = _comparisons(np.zeros(2, int), np.array([[0, 1]]))
    turns = improve(comparisons, np.array([0, 7]))
    assert turns[0] == turns[1]


def test_of_both_starts_the_one_is_taken_that_comparisons_agree_with_more():
    scramble = np.random.default_rng(6).integers(0, 24, 80)
    comparisons = _comparisons(scramble, _pairs(80, 8), wrong=0.3)
    found = common_frames(comparisons, 80)
    assert _share(scramble, found) > 0.97
    assert agreement(comparisons, found) > agreement(comparisons, np.zeros(80, int))
    # The frames that the objects have are the better start where they are right.
    assert (common_frames(_comparisons(np.full(80, 3), _pairs(80, 8)), 80) == 0).all()
