"""The report is one page that stands alone, whatever the run has and lacks."""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from untrained import Untrained, objects

from rotdis.evaluate import Evaluation, evaluate
from rotdis.metric_writer import MetricWriter
from rotdis.report import glossary, page, write_report

_VOID = ("meta", "img", "br", "input")
_CONFIG = {"seed": 7, "data": {"resolution": 16, "source": "boxes.npz"}, "pose": {"method": "none"}}


class Page(HTMLParser):
    """Keeps what a page refers to, its tags and text, and checks that they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.references, self.tags, self.ids, self.words = [], [], [], ""
        self._open = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in _VOID:
            self._open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                self.references.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "script" not in self._open and "style" not in self._open:
            self.words += data


@pytest.fixture(scope="module")
def evaluated():
    test = objects()
    return test, evaluate(Untrained(), test, (), seed=0, batch_size=4, max_train=0)


@pytest.fixture(scope="module")
def reported(tmp_path_factory, evaluated):
    """A run with a configuration, scalars, a comparable sibling and one that is not."""
    runs = tmp_path_factory.mktemp("runs")
    for name, source, iou in (
        ("this", "boxes.npz", 0.5),
        ("vae", "boxes.npz", 0.25),
        ("far", "x", 1),
    ):
        (runs / name).mkdir()
        config = _CONFIG | {"data": {"resolution": 16, "source": f"/{name}/{source}"}}
        (runs / name / "config.json").write_text(json.dumps({"format": 1, "config": config}))
        (runs / name / "metrics.json").write_text(json.dumps({"reconstruction/iou": iou}))
    writer = MetricWriter(runs / "this")
    for step in range(1, 40):
        writer.write_scalars(step, {"train/loss": 1e6 if step == 1 else 1 / step, "speed/x": 1.0})
    writer.write_scalars(40, {"validation/reconstruction/iou": 0.5, "train/loss": float("nan")})
    writer.close()
    return runs / "this", _report(runs / "this", evaluated)


def _report(workdir, evaluated):
    test, evaluation = evaluated
    path = write_report(workdir, Untrained(), test, evaluation, per_class=2, gallery=2)
    return path.read_text(encoding="utf-8")


def test_the_page_refers_to_nothing_outside_itself(reported):
    text = reported[1]
    page = Page(text)
    assert any(reference.startswith("data:image/png;base64,") for reference in page.references)
    for reference in page.references:
        assert reference.startswith(("data:image/png;base64,", "#"))
    words = re.sub(r"[\w+/=]{40,}", "", text)  # without what is in base64
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", words)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert all("src" not in attributes for tag, attributes in page.tags if tag == "script")


def test_what_the_page_points_to_within_itself_is_there_once(reported):
    page = Page(reported[1])
    assert len(page.ids) == len(set(page.ids))
    inside = {reference[1:] for reference in page.references if reference.startswith("#")}
    inside |= set(re.findall(r"url\(#([^)]+)\)", reported[1]))
    assert inside and inside <= set(page.ids)


def test_pictures_decode_and_say_what_they_show(reported):
    images = [attributes for tag, attributes in Page(reported[1]).tags if tag == "img"]
    assert len(images) > 20
    for image in images:
        assert len(image["alt"]) > 3
        data = base64.b64decode(image["src"].split(",", 1)[1])
        picture = Image.open(io.BytesIO(data))
        assert picture.size == (int(image["width"]), int(image["height"]))
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        assert alpha[0, 0] == 0 and alpha.max() == 255


def test_sheets_of_objects_are_files_as_well(reported):
    files = sorted(path.name for path in (reported[0] / "pictures").glob("*.png"))
    names = ("bar____", "slab")
    assert files == [f"{what}_{name}.png" for what in ("canonical", "objects") for name in names]


def test_metrics_are_explained_and_given_by_class(reported, evaluated):
    words = Page(reported[1]).words
    metrics = evaluated[1].metrics
    assert f"{metrics['reconstruction/iou']:.3f}" in words
    assert f"{metrics['reconstruction/sse/class/slab']:.1f}" in words
    assert "canonical/instance_iou" in words and "Overlap of the canonical forms" in words


def test_runs_on_the_same_data_stand_beside_this_one_and_others_are_named(reported):
    words = " ".join(Page(reported[1]).words.split())
    assert "this (this run)vae" in words
    assert "nothing that matters" in words  # by which the sibling's configuration differs
    assert "tested on other data: far" in words


def test_how_it_was_made_is_told(reported):
    words = Page(reported[1]).words
    assert "command" in words and "UTC" in words and "jax 0" in words
    assert '"source": "/this/boxes.npz"' in words and "seed7" in words.replace("\n", "")


def test_a_model_that_has_no_hypotheses_is_not_said_to_choose_among_them(reported):
    words = Page(reported[1]).words
    assert "Pose errors" in words and "hypotheses" not in words


def test_class_names_are_escaped(reported):
    assert "bar &lt;&amp;&gt;" in reported[1] and "bar <&>" not in reported[1]


def test_learning_curves_are_shown_where_the_run_has_them(reported, tmp_path, evaluated):
    assert "over steps 1 to 40" in reported[1]
    alone = _report(tmp_path / "alone", (evaluated[0], Evaluation(evaluated[1].metrics, None)))
    assert "Learning curves" not in alone and "Beside other runs" not in alone


def test_an_evaluation_without_objects_still_has_a_page(tmp_path):
    evaluation = Evaluation({"data/test_objects": 0, "data/test_duplicates_removed": 6}, None)
    Page(_report(tmp_path, (objects(), evaluation)))


def test_data_without_common_frames_are_shown_as_the_model_has_them(tmp_path, evaluated):
    test, evaluation = evaluated
    predictions = dataclasses.replace(evaluation.predictions, aligned=False)
    words = Page(_report(tmp_path, (test, Evaluation(evaluation.metrics, predictions)))).words
    assert "share one frame" not in words and "source\u2019s frames" not in words
    # As where no configuration says otherwise; which way is up is not known.
    assert "chooses among hypotheses" in words and "upside down" not in words


def test_objects_that_are_seen_as_they_are_have_no_pose_to_tell_of(tmp_path):
    test = objects()
    evaluation = evaluate(
        Untrained(), test, (), seed=0, batch_size=4, max_train=0, rotations="none"
    )
    shown = Page(_report(tmp_path, (test, evaluation)))
    assert "random rotation" not in shown.words and "pose" not in shown.ids
    assert "perfect by itself" in shown.words
    tiles = [tag[1]["title"] for tag in shown.tags if tag[1].get("class") == "tile"]
    titles = [glossary.entry_of(f"reconstruction/{name}").text for name in ("iou", "sse")]
    assert tiles[0] == titles[0] and titles[1] in tiles and len(tiles) == 3  # and nn1


def test_a_run_tested_on_other_data_than_its_own_stands_beside_runs_on_those(tmp_path):
    for name in ("this", "there", "at home"):
        (tmp_path / name).mkdir()
        source = "other.npz" if name == "there" else "boxes.npz"
        config = {"format": 1, "config": {"data": {"resolution": 16, "source": source}}}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "metrics.json").write_text('{"reconstruction/iou": 0.5}')
    note = {"data": {"resolution": 16, "source": "other.npz"}}
    (tmp_path / "this" / "evaluated.json").write_text(json.dumps(note))
    shown = page._compared(tmp_path / "this", {"reconstruction/iou": 0.6})
    assert shown["runs"].columns == ["this", "there"] and shown["elsewhere"] == ["at home"]
