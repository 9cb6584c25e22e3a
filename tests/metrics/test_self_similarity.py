"""Symmetries found from voxels, against shapes of which they are known."""

import numpy as np
import pytest

from rotdis.config import base_config
from rotdis.data.normalize import normalize
from rotdis.metrics import self_similarity as own
from rotdis.metrics import symmetry

SIZE = 16


def shape(*boxes: tuple[int, ...]) -> np.ndarray:
    """Returns boxes (x from, to, y from, to, z from, to) in voxels."""
    grid = np.zeros((SIZE,) * 3, np.float32)
    for x0, x1, y0, y1, z0, z1 in boxes:
        grid[x0:x1, y0:y1, z0:z1] = 1
    return grid


BOX = shape((2, 14, 4, 12, 6, 10))
COLUMN = shape((5, 11, 5, 11, 2, 14))
CORNER = shape((3, 13, 3, 7, 3, 7), (3, 7, 3, 10, 3, 6), (3, 6, 3, 6, 3, 14))
BALL = (np.sum((np.indices((SIZE,) * 3) - 7.5) ** 2, axis=0) < 36).astype(np.float32)


def found(grid: np.ndarray) -> np.ndarray:
    return own.candidates()[own.near_symmetries(grid[None])[0]]


@pytest.mark.parametrize("grid, order", [(BOX, 4), (COLUMN, 8), (CORNER, 1)])
def test_the_turns_of_a_cuboid_are_found_and_no_others(grid, order):
    group = found(grid)
    right_angles = group[np.isclose(np.abs(group), np.round(np.abs(group))).all(axis=(1, 2))]
    assert len(right_angles) == order
    np.testing.assert_array_equal(group[0], np.eye(3))


def test_a_ball_is_the_same_from_everywhere():
    assert len(found(BALL)) == len(own.candidates())


def test_an_empty_grid_is_the_same_from_everywhere():
    assert len(found(np.zeros((SIZE,) * 3, np.float32))) == len(own.candidates())


def test_candidates_are_different_rotations():
    tried = own.candidates()
    assert tried.shape == (84, 3, 3)
    np.testing.assert_allclose(np.linalg.det(tried), 1, atol=1e-5)
    traces = np.einsum("aij,bij->ab", tried, tried) - 4 * np.eye(len(tried))
    assert traces.max() < 2.95  # no two less than ten degrees apart


def test_real_classes_have_the_symmetries_that_are_declared_and_the_oriented_have_none(
    modelnet10_dir,
):
    names = ("bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa",
             "table", "toilet")  # fmt: skip
    with np.load(modelnet10_dir / "modelnet10_30.npz") as archive:
        grids, label = archive["X_test"], archive["y_test"]
    config = base_config().eval
    groups = symmetry.parse(config.symmetries)
    half_turns = symmetry.parse(["any:D2"])["any"]
    for name in (*groups, *config.oriented_classes):
        members = grids[label == names.index(name)][:10]
        voxels = np.stack([normalize(grid, 32) for grid in members])
        turns = groups.get(name, half_turns).astype(np.float32)
        holds = np.mean(np.asarray(own.overlaps(voxels, turns)) >= own.SAME, axis=0)
        if name in groups:
            assert holds.min() > 0.5, (name, holds)
        else:
            assert np.sort(holds)[-2] < 0.6, (name, holds)  # the identity is the first
