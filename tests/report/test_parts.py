"""What the page is put together from: pictures, charts, volumes, tables, neighbouring runs."""

import base64
import io
import json
import re
import zlib

import numpy as np
import pytest
from PIL import Image
from untrained import objects

from rotdis.render import render_voxels, surface_field
from rotdis.report import charts, glossary, images, siblings, tables, viewer
from rotdis.report.sections import _file_names, mean_shape


def _decoded(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(int)


def test_a_picture_of_few_colours_looks_like_the_whole():
    pixels = render_voxels(objects().voxels(slice(1, 2))[0], (96, 96), transparent=True)
    decoded = _decoded(images.encode(pixels))
    assert np.abs(decoded[..., 3] - pixels[..., 3]).max() <= 24
    inside = pixels[..., 3] == 255
    assert np.abs(decoded - pixels)[inside].max() <= 6
    assert (decoded[pixels[..., 3] == 0, 3] == 0).all()


def test_an_empty_picture_is_all_transparent():
    assert _decoded(images.encode(np.zeros((8, 9, 4), np.uint8)))[..., 3].max() == 0


def test_on_white_nothing_is_white_and_matter_keeps_its_colour():
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], np.uint8)
    np.testing.assert_array_equal(
        images.on_white(pixels), [[[255, 255, 255], [10, 20, 30], [204, 204, 204]]]
    )


def test_packed_volumes_are_what_is_drawn():
    volumes = objects(2).voxels(slice(None)) * 0.6
    data = np.frombuffer(zlib.decompress(base64.b64decode(viewer.pack(volumes))), np.uint8)
    levels = np.stack([data >> 4, data & 15], axis=1).reshape(volumes.shape)
    fields = np.stack([surface_field(volume) for volume in volumes])
    np.testing.assert_allclose(levels * 1.7 / 15, fields, atol=1.7 / 30 + 1e-6)


def test_the_mean_of_objects_that_lie_alike_is_their_shape():
    voxels = objects(3).voxels(slice(0, 1))
    np.testing.assert_array_equal(mean_shape(np.repeat(voxels, 3, axis=0)) > 0.5, voxels[0] > 0.5)


def test_curves_are_thinned_and_have_the_colours_of_the_page():
    steps = np.arange(5000)
    (chart,) = charts.learning_curves(
        {"train/loss": (steps, 1 / (1.0 + steps)), "speed/x": (steps, steps)}
    )
    assert chart.title == "train: loss" and "steps 0 to 4999" in chart.text
    assert len(chart.svg) < 30_000
    assert "var(--train)" in chart.svg and not re.search(r"#0101|https?:|<metadata", chart.svg)


def test_validation_comes_first_and_gaps_are_left_out():
    values = np.array([0.1, np.nan, 0.3])
    found = charts.learning_curves(
        {"train/x": (np.arange(3), values), "validation/reconstruction/iou": (np.arange(3), values)}
    )
    assert [chart.title for chart in found] == ["validation: Reconstruction IoU", "train: x"]
    assert "0.3 at the end" in found[0].text


def test_histograms_are_of_all_and_of_each_class():
    errors, label = np.array([1.0, 3.0, 170.0]), np.array([0, 0, 2])
    found = charts.pair_error_histograms(errors, label, ("a", "b", "<c>"))
    assert [c.title.split(":")[0] for c in found] == ["all classes", "a", "<c>"]
    assert "67% below 30" in found[0].text and "<c>" not in found[2].svg
    (_, one) = charts.pair_error_histograms(errors, 0 * label, (r"a\dm",))
    assert r"a\dm" in one.svg


@pytest.mark.parametrize("better, best", [("lower", 1), ("higher", 0)])
def test_the_best_run_of_a_row_is_marked(better, best):
    name = {"lower": "reconstruction/sse", "higher": "reconstruction/iou"}[better]
    runs = [siblings.Run("a", {name: 2.0}, {}), siblings.Run("b", {name: 1.0}, {})]
    ((_, (row,)),) = tables.side_by_side(runs).groups
    assert [cell.best for cell in row.cells] == [n == best for n in range(2)]


def test_equal_values_and_a_run_alone_have_no_best():
    for values in ([1.0], [1.0, 1.0]):
        runs = [siblings.Run("x", {"reconstruction/iou": v}, {}) for v in values]
        ((_, (row,)),) = tables.side_by_side(runs).groups
        assert not any(cell.best for cell in row.cells)


def test_a_run_on_aligned_objects_is_no_rival():
    values = {"a": (0.5, "so3"), "b": (0.4, "so3"), "aligned": (0.9, "none")}
    runs = [
        siblings.Run(name, {"reconstruction/iou": value}, {"data.rotations": how})
        for name, (value, how) in values.items()
    ]
    ((_, (row,)),) = tables.side_by_side(runs).groups
    assert [cell.best for cell in row.cells] == [True, False, False]


def test_a_run_that_is_forgiven_other_symmetries_is_no_rival_in_what_forgives():
    metrics = {"reconstruction/iou": 0.5, "pose/pair_median_symmetric_deg": 5.0}
    better = {"reconstruction/iou": 0.6, "pose/pair_median_symmetric_deg": 2.0}
    forgiven = {"reconstruction/iou": 0.6, "pose/pair_median_symmetric_deg": 1.0}
    runs = [
        siblings.Run("this", metrics, {"eval.symmetries": ("a:C2",)}),
        siblings.Run("better", better, {"eval.symmetries": ("a:C2",)}),
        siblings.Run("forgiven", forgiven, {"eval.symmetries": ("a:D4",)}),
    ]
    ((_, (iou, error)),) = tables.side_by_side(runs).groups
    assert [cell.best for cell in iou.cells] == [False, True, True]
    assert [cell.best for cell in error.cells] == [False, True, False]


def test_every_metric_is_in_the_table_known_or_not():
    metrics = {"pose/new": 1.5, "reconstruction/iou": 0.5, "reconstruction/iou/class/x/y": 0.25}
    table = tables.by_class(metrics)
    assert table.columns == ["all", "x/y"]
    assert [title for title, _ in table.groups] == ["Reconstruction", "Other"]
    assert [cell.text for cell in table.groups[0][1][0].cells] == ["0.500", "0.250"]
    assert [cell.text for cell in table.groups[1][1][0].cells] == ["1.5", ""]


def test_entries_are_whole_sentences():
    for entry in glossary.ENTRIES.values():
        assert entry.text.endswith(".") and entry.better in ("higher", "lower", "")


def _run(folder, metrics='{"reconstruction/iou": 0.5}', **data):
    folder.mkdir()
    config = {"data": {"resolution": 16, "source": "furniture"} | data, "seed": 1}
    (folder / "config.json").write_text(json.dumps({"config": config}))
    (folder / "metrics.json").write_text(metrics)
    return siblings.flatten(config)


def test_only_evaluated_runs_on_the_same_data_are_compared(tmp_path):
    config = _run(tmp_path / "this")
    _run(tmp_path / "same", dir="/elsewhere", rotations="none")
    _run(tmp_path / "finer", resolution=32)
    _run(tmp_path / "more", num_test=9)
    _run(tmp_path / "softer", partial=True)
    _run(tmp_path / "broken", metrics="{")
    _run(tmp_path / "infinite", metrics='{"a": Infinity}')
    (tmp_path / "empty").mkdir()
    _run(tmp_path / "elsewhere")
    note = {"data": {"resolution": 16, "source": "other.npz"}, "eval": {"seed": 0}}
    (tmp_path / "elsewhere" / "evaluated.json").write_text(json.dumps(note))
    _run(tmp_path / "borrowed", source="other.npz")
    note["data"]["source"] = "furniture"
    del note["eval"]
    (tmp_path / "borrowed" / "evaluated.json").write_text(json.dumps(note))
    same, other = siblings.find(tmp_path / "this", config)
    assert [run.name for run in same] == ["borrowed", "same"]  # it was evaluated on this data
    assert other == ["elsewhere", "finer", "more", "softer"]


@pytest.mark.parametrize("partial", [True, False])
def test_objects_are_the_same_at_other_samples_where_none_is_taken_and_seen_by_the_same_seed(
    tmp_path, partial
):
    config = _run(tmp_path / "this", partial=partial, supersample=2)
    _run(tmp_path / "samples", partial=partial, supersample=3)
    same, _ = siblings.find(tmp_path / "this", config)
    assert [run.name for run in same] == ([] if partial else ["samples"])
    same, _ = siblings.find(tmp_path / "this", config | {"eval.seed": 1})
    assert not same


def test_what_another_configuration_has_otherwise_is_told():
    one = {"pose.method": "mixture", "data.dir": "a", "train.steps": 5, "old": 1}
    other = {"pose.method": "none", "data.dir": "b", "train.steps": 5, "new": 1}
    assert siblings.differences(one, other) == ["pose.method=none"]


def test_classes_have_files_of_their_own_on_any_file_system():
    names = _file_names(["night stand", "night_stand", "Night-Stand", "\u00e9" * 250, "bed"])
    assert names[0] == "night_stand" and names[-1] == "bed"
    assert len({name.casefold() for name in names}) == 5
    assert all(len(name.encode()) < 70 for name in names)


def test_a_folder_that_cannot_be_listed_has_no_siblings(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError("not yours")

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    assert siblings.find(tmp_path / "run", {}) == ([], [])
