"""The report is one page that stands alone, whatever the run has and lacks."""

import base64
import dataclasses
import io
from html.parser import HTMLParser
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from rotdis import pictures
from rotdis.data.voxelset import VoxelSet, pack
from rotdis.evaluate import Evaluation, evaluate
from rotdis.metric_writer import MetricWriter
from rotdis.report import write_report

SIZE = 16
CLASSES = ("bar <&>", "slab", "absent")


def _objects(count=6):
    voxels = np.zeros((count, SIZE, SIZE, SIZE), np.float32)
    for n in range(count):
        voxels[n, 6:10, 6:10, 3 : 12 - n % 3] = 1
        if n % 2:
            voxels[n, 3 : 12 + n % 2, 5:11, 3:6] = 1
    return VoxelSet(
        packed=pack(voxels, partial=False),
        label=np.arange(count) % 2,
        source_id=tuple(f"object {n}" for n in range(count)),
        class_names=CLASSES,
        resolution=SIZE,
        partial=False,
        aligned=True,
    )


class Code(NamedTuple):
    z_mean: np.ndarray
    z_logvar: np.ndarray
    rotation: np.ndarray


class Untrained:
    """Calls every pose canonical, and reconstructs one ball."""

    def encode(self, voxels):
        z = np.asarray(voxels).reshape(len(voxels), 64, -1).mean(-1)
        return Code(z, np.zeros_like(z), np.tile(np.eye(3, dtype=np.float32), (len(z), 1, 1)))

    def decode(self, z_mean, rotation):
        points = np.stack(np.meshgrid(*(np.arange(SIZE) - 7.5,) * 3, indexing="ij"))
        ball = (np.linalg.norm(points, axis=0) < 5).astype(np.float32)
        return np.tile(ball, (len(z_mean), 1, 1, 1))


class Page(HTMLParser):
    """Keeps what a page refers to, and which tags are open."""

    def __init__(self, text):
        super().__init__()
        self.references, self.tags, self._open = [], [], []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in ("meta", "img", "br"):
            self._open.append(tag)
        attributes = dict(attributes)
        self.references += [attributes[name] for name in ("src", "href") if name in attributes]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


@pytest.fixture(scope="module")
def evaluated():
    test = _objects()
    return test, evaluate(Untrained(), test, (), seed=0, batch_size=4, max_train=0)


def _report(workdir, evaluated):
    test, evaluation = evaluated
    path = write_report(workdir, Untrained(), test, evaluation, per_class=2, gallery=3)
    return path.read_text(encoding="utf-8")


def test_the_page_refers_to_nothing_outside_itself(tmp_path, evaluated):
    text = _report(tmp_path, evaluated)
    page = Page(text)
    assert page.references
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert "http:" not in text and "https:" not in text and "url(" not in text
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_pictures_on_the_page_decode_and_are_those_in_the_folder(tmp_path, evaluated):
    page = Page(_report(tmp_path, evaluated))
    inline = [base64.b64decode(reference.split(",", 1)[1]) for reference in page.references]
    for data in inline:
        assert np.asarray(Image.open(io.BytesIO(data))).std() > 1
    files = [path.read_bytes() for path in (tmp_path / "pictures").glob("*.png")]
    assert sorted(inline) == sorted(files)
    assert len(files) == 1 + 2 * 2  # pair errors; two sheets of each class that has objects


def test_metrics_stand_on_the_page(tmp_path, evaluated):
    text = _report(tmp_path, evaluated)
    assert f"{evaluated[1].metrics['reconstruction/iou']:.3f}" in text
    assert "canonical/instance_iou" in text


def test_class_names_are_escaped(tmp_path, evaluated):
    text = _report(tmp_path, evaluated)
    assert "bar &lt;&amp;&gt;" in text and "bar <&>" not in text


def test_learning_curves_are_shown_where_the_run_has_them(tmp_path, evaluated):
    assert "Learning curves" not in _report(tmp_path, evaluated)
    writer = MetricWriter(tmp_path)
    for step in range(1, 40):
        writer.write_scalars(step, {"train/loss": 1e6 if step == 1 else 1 / step, "speed/x": 1.0})
    writer.write_scalars(40, {"validation/reconstruction/iou": 0.5, "train/loss": float("nan")})
    writer.close()
    assert "Learning curves" in _report(tmp_path, evaluated)
    assert (tmp_path / "pictures" / "curves.png").exists()


def test_an_evaluation_without_objects_still_has_a_page(tmp_path):
    evaluation = Evaluation({"data/test_objects": 0, "data/test_duplicates_removed": 6}, None)
    Page(_report(tmp_path, (_objects(), evaluation)))


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
