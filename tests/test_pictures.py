"""Sheets put pictures where they belong, and turn classes upright without hiding disagreement."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.pictures import central_rotation, contact_sheet


def _tile(value, shape=(20, 30)):
    return np.full((*shape, 3), value, np.uint8)


def test_pictures_stand_in_rows():
    sheet = contact_sheet([[_tile(10), _tile(20)], [_tile(30)]])
    assert sheet.shape == (40, 60, 3)
    assert sheet[10, 15, 0] == 10 and sheet[10, 45, 0] == 20 and sheet[30, 15, 0] == 30
    assert (sheet[20:, 30:] == 255).all()


def test_labels_stand_beside_the_pictures_not_on_them():
    rows = [[_tile(200), _tile(200)]] * 2
    sheet = contact_sheet(rows, ["first", "second"], ["left", "right"])
    height, width = sheet.shape[:2]
    assert height > 40 and width > 60
    assert (sheet[-40:, -60:] == 200).all()
    assert (sheet[:, : width - 60] < 128).any() and (sheet[: height - 40] < 128).any()


def test_a_sheet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([[], []])


def test_a_class_is_turned_by_the_frame_of_its_largest_cluster():
    rotation = Rotation.random(random_state=0)
    noise = Rotation.from_rotvec(np.random.default_rng(0).normal(0, 0.05, (9, 3)))
    others = Rotation.from_euler("z", [[90], [180], [90], [270]], degrees=True) * rotation
    frames = np.concatenate([others.as_matrix(), (noise * rotation).as_matrix()])
    found = Rotation.from_matrix(central_rotation(frames.astype(np.float32)))
    assert np.degrees((found * rotation.inv()).magnitude()) < 8


def test_one_object_is_its_own_centre():
    frame = Rotation.random(1, random_state=1).as_matrix().astype(np.float32)
    np.testing.assert_array_equal(central_rotation(frame), frame[0])
