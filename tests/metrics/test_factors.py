"""Which objects are seen how, and what of it is a factor."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.geometry import so3
from rotdis.metrics import factors, pose

LABEL = np.array([0] * 9 + [1] * 4 + [2])


@pytest.fixture(scope="module")
def designed():
    return factors.design(LABEL, seed=0)


def arranged(designed, **options):
    index, value, turns = designed
    codes = np.random.default_rng(0).normal(size=(len(index), 2))
    return factors.arrange(codes, turns, LABEL[index], index, value, **options)


def test_every_chosen_object_is_seen_once_near_each_turn_of_the_cube(designed):
    index, value, turns = designed
    chosen, views = np.unique(index, return_counts=True)
    assert np.bincount(LABEL[chosen]).tolist() == [factors.INSTANCES, 4, 1]
    assert set(views) == {24}
    assert len(np.unique(np.stack([index, value]), axis=1).T) == len(index)
    slips = pose.angles(turns, so3.cube_group()[value])
    assert 10 < slips.max() < 15.1 and slips.min() < 2


def test_without_scatter_they_are_the_cube_s_own(designed):
    _, value, turns = factors.design(LABEL, seed=0, scatter=0.0)
    np.testing.assert_array_equal(turns, so3.cube_group()[value])


def test_objects_and_turns_are_told_apart_within_each_class_of_several_objects(designed):
    classes, instances, turns = arranged(designed)
    assert [len(np.unique(s.value)) for s in classes] == [2]  # the third has one object
    assert [len(np.unique(s.value)) for s in instances] == [factors.INSTANCES, 4]
    assert [len(np.unique(s.value)) for s in turns] == [24, 24]
    assert {unit.shape[1] for s in classes + instances + turns for unit in s.units} == {1, 9}


def test_a_symmetric_class_has_no_rotation_to_tell(designed):
    classes, instances, turns = arranged(designed, symmetric=[1])
    assert len(instances) == 2 and len(turns) == 1
    assert len(arranged(designed, symmetric=[0, 1])) == 2


def test_one_class_is_no_factor():
    index, value, turns = factors.design(np.zeros(4, int), seed=0)
    codes = np.zeros((len(index), 1))
    assert len(factors.arrange(codes, turns, np.zeros(len(index), int), index, value)) == 2


def test_cells_follow_the_rotation_in_whatever_frame_a_class_has(designed):
    index, value, turns = designed
    # A seed by which cells about the source's frame would not do as well.
    frames = Rotation.random(3, rng=np.random.default_rng(4)).as_matrix()[LABEL[index]]
    codes = np.zeros((len(index), 1))
    _, _, told = factors.arrange(codes, turns @ frames, LABEL[index], index, value)
    for stratum in told:
        pairs = np.unique(np.stack([stratum.value, stratum.cells[:, -1]]), axis=1)
        assert pairs.shape[1] == 24  # one cell each


def test_a_dimension_has_twenty_bins_of_equal_width():
    stratum = factors.stratum(np.linspace(-3, 5, 2001)[:, None], np.zeros(2001, int))
    np.testing.assert_allclose(np.bincount(stratum.cells[:, 0]), [100] * 20, atol=1)
    assert factors.stratum(np.ones((4, 1)), np.zeros(4, int)).cells.tolist() == [[0]] * 4


def test_each_group_is_held_out_once_and_every_value_each_time(designed):
    for factor in arranged(designed):
        for stratum in factor:
            splits = list(stratum.splits(seed=0))
            assert len(splits) == 4
            assert sorted(np.concatenate([b for _, b in splits])) == list(range(len(stratum.value)))
            for learn, held_out in splits:
                assert sorted([*learn, *held_out]) == list(range(len(stratum.value)))
                assert not set(stratum.group[learn]) & set(stratum.group[held_out])
                every = set(stratum.value)
                assert set(stratum.value[learn]) == set(stratum.value[held_out]) == every
                assert len(held_out) <= 0.4 * len(stratum.value)
            assert not np.array_equal(held_out, list(stratum.splits(seed=1))[-1][1])


def test_of_two_groups_each_is_held_out_once():
    value = np.array([0, 0, 0, 1, 1, 1])
    stratum = factors.stratum(np.zeros((6, 1)), value, group=np.array([5, 5, 7, 4, 9, 9]))
    held_out = [b.tolist() for _, b in stratum.splits(0)]
    assert len(held_out) == 2 and sorted(sum(held_out, [])) == list(range(6))
    assert all({0, 1} <= set(b) or not {0, 1} & set(b) for b in held_out)


def test_of_the_class_whole_objects_are_held_out(designed):
    (of_class,), instances, _ = arranged(designed)
    assert len(np.unique(of_class.group)) == factors.INSTANCES + 4
    assert all(len(np.unique(s.group)) == len(s.value) for s in instances)
