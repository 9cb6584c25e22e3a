"""Objects that were turned at random stand alike afterwards."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synchronize.constructed import PROPORTIONS, angles, column, corner, slab, step

from rotdis import synchronize
from rotdis.data import furniture, normalize, voxelize
from rotdis.geometry import so3
from rotdis.synchronize import fields


def _as_they_came(grids, planted):
    """Returns objects turned by the planted rotations."""
    voxels = np.stack([(grid * 255).astype(np.uint8) for grid in grids])
    return fields.turned(voxels, planted)


def _planted(number, rng, tilt=0.0):
    cube = so3.cube_group()[rng.integers(0, 24, number)]
    axes = rng.normal(size=(number, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return cube @ Rotation.from_rotvec(axes * tilt, degrees=True).as_matrix()


def test_a_family_turned_by_the_cube_and_tilted_agrees():
    rng = np.random.default_rng(0)
    planted = _planted(8, rng, tilt=9)
    voxels = _as_they_came([corner(rng) for _ in planted], planted)
    before = np.broadcast_to(np.eye(3), (8, 3, 3))
    result = synchronize.synchronize(voxels, before)
    after = result.rotations @ planted
    assert np.median(angles(planted)) > 80
    # The family's members differ by a voxel here and there, some degrees on arms so short.
    assert np.median(angles(after)) < 7 and angles(after).max() < 15
    assert np.allclose(np.linalg.det(result.rotations), 1)
    assert (result.component == 0).all()
    assert synchronize.agreement(voxels, result).min() > 0.5


@pytest.mark.slow
def test_copies_of_a_plate_that_fills_no_voxel_agree():
    rng = np.random.default_rng(2)
    planted = _planted(5, rng, tilt=9)
    outline = [(0, 0), (100, 0), (100, 20), (60, 20), (60, 60), (0, 60)]
    trimesh = pytest.importorskip("trimesh")
    plate = trimesh.creation.extrude_triangulation(
        outline, [(0, 1, 3), (1, 2, 3), (0, 3, 4), (0, 4, 5)], height=1.0
    )
    voxels = []
    for rotation in planted:
        motion = np.eye(4)
        motion[:3, :3] = rotation
        voxels.append(voxelize.voxelize_part(plate.copy().apply_transform(motion), 64))
    assert fields.solids(np.stack(voxels), 32).max() < 128  # on which they are compared
    result = synchronize.synchronize(np.stack(voxels), np.broadcast_to(np.eye(3), (5, 3, 3)))
    after = result.rotations @ planted
    assert np.median(angles(planted)) > 80
    assert np.median(angles(after)) < 7 and angles(after).max() < 15
    # By voxels that are half full it would be nothing.
    assert synchronize.agreement(np.stack(voxels), result).min() > 0.15


def test_variants_with_many_copies_of_each_get_one_frame():
    """An object's neighbours are all copies of it, so nothing would tie the two variants."""
    rng = np.random.default_rng(1)
    variants = [corner(rng) for _ in range(2)]
    planted = Rotation.random(8, rng=rng).as_matrix()
    voxels = _as_they_came([variants[i // 4] for i in range(8)], planted)
    before = np.broadcast_to(np.eye(3), (8, 3, 3))
    result = synchronize.synchronize(voxels, before, neighbours=3, joined=True)
    assert set(result.component) == {0}
    assert angles(result.rotations @ planted).max() < 15


def test_objects_of_other_proportions_stand_alike_and_do_not_lie_down():
    planted = _planted(len(PROPORTIONS), np.random.default_rng(0))
    voxels = _as_they_came([step(sides) for sides in PROPORTIONS], planted)
    result = synchronize.synchronize(voxels, np.broadcast_to(np.eye(3), (len(planted), 3, 3)))
    assert angles(result.rotations @ planted).max() < 10


@pytest.mark.slow  # a quarter of a minute
def test_drawers_tell_where_the_front_of_a_dresser_is():
    seeds = [furniture.object_seed("test", "dresser", index, 0) for index in range(5)]
    grids = [normalize.normalize(furniture.make_object("dresser", seed), 64) for seed in seeds]
    planted = _planted(5, np.random.default_rng(1), tilt=9)
    voxels = _as_they_came(grids, planted)
    result = synchronize.synchronize(voxels, np.broadcast_to(np.eye(3), (5, 3, 3)))
    assert angles(result.rotations @ planted).max() < 10


@pytest.mark.parametrize("shape", [slab, pytest.param(column, marks=pytest.mark.slow)])
def test_symmetric_objects_coincide_though_their_rotations_need_not(shape):
    planted = _planted(6, np.random.default_rng(1))
    voxels = _as_they_came([shape()] * 6, planted)
    result = synchronize.synchronize(voxels, np.broadcast_to(np.eye(3), (6, 3, 3)))
    turned = fields.turned(voxels, result.rotations) > 127
    union, common = turned.any(axis=0).sum(), turned.all(axis=0).sum()
    assert common / union > 0.9
    assert synchronize.agreement(voxels, result).min() > 0.9


def test_the_frame_is_the_one_that_most_objects_had():
    rng = np.random.default_rng(2)
    planted = np.repeat(so3.cube_group()[[7]], 8, axis=0)
    planted[:3] = so3.cube_group()[[1, 15, 20]]
    voxels = _as_they_came([corner(rng) for _ in planted], planted)
    result = synchronize.synchronize(voxels, np.broadcast_to(np.eye(3), (8, 3, 3)))
    left = angles(np.stack([np.eye(3), *result.rotations[3:]]))[:5]
    assert (left < 5).all()
    assert np.median(angles(result.rotations @ planted)) < 6


@pytest.mark.parametrize("varied, median", [(True, 8), (False, 2.5)], ids=["family", "copies"])
def test_no_model_is_needed_where_parts_are_alike(varied, median):
    rng = np.random.default_rng(1)
    planted = Rotation.random(8, rng=rng).as_matrix()
    voxels = _as_they_came([corner(rng if varied else None) for _ in planted], planted)
    result = synchronize.synchronize(voxels, np.broadcast_to(np.eye(3), (8, 3, 3)))
    assert np.median(angles(result.rotations @ planted)) < median


def test_where_the_model_agrees_already_hardly_anything_is_turned():
    rng = np.random.default_rng(3)
    planted = Rotation.random(5, rng=rng).as_matrix()
    voxels = _as_they_came([corner()] * 5, planted)
    before = np.swapaxes(planted, 1, 2)
    result = synchronize.synchronize(voxels, before)
    change = [angles(np.stack(pair))[0] for pair in zip(result.rotations, before, strict=True)]
    assert max(change) < 3


def test_one_object_stays_where_it_is():
    before = Rotation.random(rng=np.random.default_rng(4)).as_matrix()[None]
    result = synchronize.synchronize(corner()[None], before)
    assert np.allclose(result.rotations, before) and result.edges.shape == (0, 2)
    assert np.isnan(synchronize.agreement(corner()[None], result)).all()
