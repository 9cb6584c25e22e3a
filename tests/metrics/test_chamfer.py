"""Chamfer distances of canonical forms, by hand and for perfect models."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.metrics import chamfer


def rotations(*shape: int, seed: int = 0) -> np.ndarray:
    flat = Rotation.random(int(np.prod(shape)), rng=np.random.default_rng(seed)).as_matrix()
    return flat.reshape(*shape, 3, 3)


def cloud(seed: int, count: int = 60) -> chamfer.Surface:
    points = np.random.default_rng(seed).uniform(-1, 1, (count, 3))
    return chamfer.Surface(points, points)


def test_the_surface_is_the_shell_in_units_of_half_the_grid():
    grid = np.zeros((8, 8, 8))
    grid[2:6, 2:6, 2:6] = 1
    points, asking = chamfer.surface_points(grid)
    assert len(points) == len(asking) == 4**3 - 2**3
    np.testing.assert_allclose([points.min(), points.max()], [-1.5 / 4, 1.5 / 4])
    points, asking = chamfer.surface_points(grid, count=10)
    assert len(points) == 4**3 - 2**3 and len(np.unique(asking, axis=0)) == 10
    assert {tuple(p) for p in asking} < {tuple(p) for p in points}


def test_what_touches_the_grid_s_border_is_surface_there():
    assert len(chamfer.surface_points(np.ones((4, 4, 4))).every) == 4**3 - 2**3


def test_an_empty_object_is_a_point_at_the_centre():
    for points in chamfer.surface_points(np.zeros((4, 4, 4))):
        np.testing.assert_array_equal(points, [[0, 0, 0]])


def test_the_distance_is_averaged_over_both_sets():
    a, b = (
        chamfer.Surface(np.array(points), np.array(points))
        for points in ([[0.0, 0, 0]], [[1.0, 0, 0], [3.0, 0, 0]])
    )
    assert chamfer.chamfer(a, b) == chamfer.chamfer(b, a) == pytest.approx((1 + 2) / 2)
    assert chamfer.chamfer(b, b) == 0


def test_one_frame_for_both_views_has_no_distance_whatever_it_is():
    surfaces = [cloud(n) for n in range(3)]
    frames = np.repeat(rotations(3, 1), 2, axis=1)
    np.testing.assert_allclose(chamfer.instance_chamfer(surfaces, frames), 0, atol=1e-12)
    assert np.all(chamfer.instance_chamfer(surfaces, rotations(3, 2)) > 0.1)


def test_it_is_blind_to_symmetry():
    """Of a box's surface, of which many times more voxels are than those that ask."""
    half_turn = np.diag([-1.0, -1, 1])
    grid = np.zeros((32, 32, 32))
    grid[4:28, 8:24, 10:22] = 1
    surface = chamfer.surface_points(grid)
    assert len(surface.every) > 2 * len(surface.some) == 2 * chamfer.POINTS
    frame = rotations(1)[0]
    frames = np.stack([frame, half_turn @ frame])[None]
    np.testing.assert_allclose(chamfer.instance_chamfer([surface], frames), 0, atol=1e-12)
    slipped = Rotation.from_rotvec([0, 0, 5], degrees=True).as_matrix()
    frames = np.stack([frame, slipped @ frame])[None]
    assert chamfer.instance_chamfer([surface], frames)[0] > 0.02


def test_alike_objects_in_one_frame_a_class_have_no_distance():
    surfaces = [cloud(n % 2) for n in range(6)]
    label = np.arange(6) % 2
    frames = rotations(2)[label]
    np.testing.assert_allclose(chamfer.category_chamfer(surfaces, frames, label), 0, atol=1e-12)
    assert np.all(chamfer.category_chamfer(surfaces, rotations(6), label) > 0.1)


def test_an_object_is_compared_with_others_and_never_with_itself():
    """Three points at 0, 1 and 3 on a line."""
    points = [np.array([[x, 0.0, 0]]) for x in (0, 1, 3)]
    surfaces = [chamfer.Surface(every, every) for every in points]
    frames, label = np.tile(np.eye(3), (3, 1, 1)), np.zeros(3, int)
    both = chamfer.category_chamfer(surfaces, frames, label)
    np.testing.assert_allclose(both, [(1 + 3) / 2, (1 + 2) / 2, (3 + 2) / 2])
    following = chamfer.category_chamfer(surfaces, frames, label, partners=1)
    np.testing.assert_allclose(following, [1, 2, 3])


def test_an_object_alone_in_its_class_has_nothing_to_compare_with():
    surfaces = [cloud(0), cloud(0), cloud(1)]
    result = chamfer.category_chamfer(surfaces, rotations(3), np.array([0, 0, 1]))
    assert np.isnan(result).tolist() == [False, False, True]
