"""Objects with flat faces stand parallel to the axes afterwards; others are left alone."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synchronize.constructed import angles

from rotdis.geometry import so3
from rotdis.synchronize import fields, straight


def _box():
    grid = np.zeros((1, 64, 64, 64), np.uint8)
    grid[0, 14:50, 20:44, 24:40] = 255
    grid[0, 20:44, 20:24, 28:36] = 0
    return grid


def _tilt(degrees, seed):
    axis = np.random.default_rng(seed).normal(size=3)
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * degrees, degrees=True).as_matrix()


@pytest.mark.parametrize("degrees", [1, 5, 12])
def test_a_tilt_is_taken_out_whatever_the_object_was_turned_by(degrees):
    for seed in range(3):
        turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
        voxels = fields.turned(_box(), turn[None])
        nearly = _tilt(degrees, seed) @ so3.cube_group()[[5 * seed + 2]] @ turn.T
        after = straight.Faces(voxels).straightened(nearly)
        wanted = so3.cube_group()[5 * seed + 2] @ turn.T
        assert angles(np.stack([after[0], wanted]))[0] < 0.5
        assert np.allclose(after[0] @ after[0].T, np.eye(3))
        kept = straight.Faces(voxels).straightened(nearly, most=degrees - 0.5)
        assert np.allclose(kept, nearly)


def test_what_has_no_flat_faces_stays_exactly_as_it_is():
    distance = np.linalg.norm(np.indices((64,) * 3) - 31.5, axis=0)
    voxels = np.stack([distance < 25, distance < 0]).astype(np.float32)  # a ball, and nothing
    turns = Rotation.random(2, rng=np.random.default_rng(0)).as_matrix()
    assert (straight.Faces(voxels).straightened(turns) == turns).all()


def test_an_upright_box_stays_so_in_either_unit():
    for voxels in (_box(), _box() / np.float32(255)):
        after = straight.Faces(voxels).straightened(np.eye(3)[None])
        assert angles(np.stack([after[0], np.eye(3)]))[0] < 0.1
