"""Pictures of voxels show where matter is, from a fixed camera."""

import numpy as np
import pytest

from rotdis.render import CANONICAL_COLOR, render_voxels


def _box(side, low, high):
    volume = np.zeros((side,) * 3, np.float32)
    volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return volume


def _inked(picture):
    return (picture < 250).any(axis=-1)


def _middle(picture):
    return np.argwhere(_inked(picture)).mean(axis=0)


@pytest.mark.parametrize("volume", [np.zeros((8, 8, 8)), np.full((8, 8, 8), 0.45)])
def test_nothing_above_one_half_is_a_blank_picture(volume):
    picture = render_voxels(volume, size=(20, 30))
    assert picture.shape == (20, 30, 3) and picture.dtype == np.uint8
    assert (picture == 255).all()


@pytest.mark.parametrize("side", [16, 32, 48, 64])
def test_the_scale_does_not_depend_on_the_resolution(side):
    share = _inked(render_voxels(_box(side, [side // 4] * 3, [side - side // 4] * 3))).mean()
    assert share == pytest.approx(0.41, abs=0.02)


def test_z_points_up():
    high = render_voxels(_box(16, (6, 6, 11), (10, 10, 15)))
    low = render_voxels(_box(16, (6, 6, 1), (10, 10, 5)))
    assert _middle(high)[0] < 70 and _middle(low)[0] > 90
    assert _middle(high)[1] == pytest.approx(80, abs=4)


def test_the_front_is_seen_from_the_right():
    # +x and -y are nearer: to the right and down, and to the left and down.
    right = _middle(render_voxels(_box(16, (11, 6, 6), (15, 10, 10))))
    front = _middle(render_voxels(_box(16, (6, 1, 6), (10, 5, 10))))
    assert right[1] > 90 and front[1] < 70
    assert right[0] > 80 and front[0] > 80


def test_the_nearer_object_hides_the_farther():
    wall = _box(16, (2, 2, 2), (14, 4, 14))
    behind = wall + _box(16, (6, 10, 6), (9, 12, 9))
    near = _inked(render_voxels(wall)) & ~_edge(_inked(render_voxels(wall)))
    difference = np.abs(render_voxels(behind).astype(int) - render_voxels(wall)).max(axis=-1)
    assert (difference[near] < 60).mean() > 0.99


def _edge(mask):
    shifted = [np.roll(mask, shift, axis) for shift in (-2, 2) for axis in (0, 1)]
    return mask & ~np.logical_and.reduce(shifted)


def test_faces_of_a_box_are_told_apart_by_their_light():
    picture = render_voxels(_box(32, (8, 8, 8), (24, 24, 24)), color=CANONICAL_COLOR).astype(int)
    top, left, right = picture[50, 80], picture[90, 60], picture[90, 112]
    assert top.sum() > right.sum() + 40 and left.sum() > right.sum() + 40


def test_a_solid_has_no_holes():
    inked = _inked(render_voxels(_box(32, (6, 6, 6), (26, 26, 26))))
    for row in inked[inked.any(axis=1)]:
        inside = np.flatnonzero(row)
        assert row[inside[0] : inside[-1] + 1].all()


@pytest.mark.parametrize("axis", range(3))
def test_a_leg_one_voxel_thick_is_drawn_in_one_piece(axis):
    from scipy.ndimage import label

    low, high = [15] * 3, [16] * 3
    low[axis], high[axis] = 6, 26
    picture = render_voxels(_box(32, low, high))
    assert label(_inked(picture), np.ones((3, 3)))[1] == 1
    assert _inked(picture).sum() > 100


def test_matter_up_to_the_border_is_closed():
    assert _inked(render_voxels(np.ones((16, 16, 16))))[80, 80]


def test_values_that_are_not_numbers_are_empty():
    assert (render_voxels(np.full((8, 8, 8), np.nan)) == 255).all()
