"""Sheets put pictures where they belong, and turn classes upright without hiding disagreement."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from untrained import Untrained, objects

from rotdis import pictures
from rotdis.evaluate import evaluate
from rotdis.pictures import central_rotation, contact_sheet


@pytest.fixture(scope="module")
def evaluated():
    test = objects()
    return test, evaluate(Untrained(), test, (), seed=0, batch_size=4, max_train=0)


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


def test_forms_in_one_frame_are_shown_upright_and_others_are_not(evaluated):
    test, evaluation = evaluated
    frame = Rotation.random(random_state=3).as_matrix()
    quarter = Rotation.from_euler("x", 90, degrees=True).as_matrix()
    predictions = evaluation.predictions
    frames = np.stack([frame, frame, frame, frame, quarter @ frame, frame])  # object 4 disagrees
    found = (predictions.views[:, 0] @ frames).astype(np.float32)
    predictions = dataclasses.replace(predictions, rotations=np.stack([found, found], axis=1))
    shown = pictures.canonical_forms(test, predictions, np.array([0, 2, 4]))
    original = test.voxels(np.array([0, 2, 4]))
    np.testing.assert_allclose(shown[:2], original[:2], atol=1e-3)
    assert np.abs(shown[2] - original[2]).max() > 0.5


def test_without_known_frames_forms_are_shown_as_the_model_has_them(evaluated):
    test, evaluation = evaluated
    predictions = dataclasses.replace(evaluation.predictions, aligned=False)
    shown = pictures.canonical_forms(test, predictions, np.array([0]))
    view = pictures.turn(test.voxels(np.array([0])), predictions.views[:1, 0])
    np.testing.assert_allclose(shown, view, atol=1e-5)


def test_the_opening_picture_has_two_rows(tmp_path, evaluated):
    test, evaluation = evaluated
    path = pictures.opening_picture(
        test, evaluation.predictions, tmp_path / "a" / "b.png", classes=("slab",), size=40
    )
    picture = np.asarray(Image.open(path))
    assert picture.shape[0] == 80
    assert (picture[:40, -120:] < 250).any() and (picture[40:, -120:] < 250).any()


def test_the_preview_shows_one_sheet_of_any_split(evaluated):
    sheets = pictures.preview(Untrained(), evaluated[0], count=3)
    assert [sheet.dtype for sheet in sheets.values()] == [np.uint8]
    assert pictures.preview(Untrained(), evaluated[0].select(np.array([], int)), count=3) == {}


def test_any_number_of_volumes_is_turned(evaluated):
    voxels = np.resize(evaluated[0].voxels(slice(0, 5)), (19, 16, 16, 16))
    rotations = Rotation.random(19, random_state=0).as_matrix().astype(np.float32)
    turned = pictures.turn_all(voxels, rotations)
    np.testing.assert_allclose(turned, pictures.turn(voxels, rotations), atol=1e-5)
