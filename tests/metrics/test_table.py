"""The metrics file is whole or old; the table shows what it is given."""

import json
import os

import pytest

from rotdis.metrics import table

METRICS = {
    "data/test_objects": 3,
    "data/test_duplicates_removed": 1,
    "reconstruction/iou": 0.5,
    "reconstruction/iou/class/bed": 0.25,
    "reconstruction/iou/group/oriented": 0.75,
    "pose/pair_median_deg/class/night_stand": 12.25,
}


def test_the_file_is_flat_sorted_json_with_whole_counts(tmp_path):
    path = tmp_path / "run" / "metrics.json"
    table.write_metrics(path, METRICS)
    text = path.read_text()
    assert json.loads(text) == METRICS
    assert list(json.loads(text)) == sorted(METRICS)
    assert '"data/test_objects": 3,' in text
    assert [p.name for p in path.parent.iterdir()] == ["metrics.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_leaves_the_old_file(tmp_path, value):
    path = tmp_path / "metrics.json"
    table.write_metrics(path, METRICS)
    with pytest.raises(ValueError, match="latent/x"):
        table.write_metrics(path, {"latent/x": value})
    assert json.loads(path.read_text()) == METRICS


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    table.write_metrics(path, METRICS)

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        table.write_metrics(path, {"a": 1.0})
    assert json.loads(path.read_text()) == METRICS
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_the_table_has_a_row_for_each_set_and_a_dash_for_what_is_undefined():
    lines = table.format_table(METRICS).splitlines()
    assert lines[0] == "3 test objects (1 duplicates of training objects removed)"
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert rows["bed"] == ["0.250", "-"]
    assert rows["night_stand"] == ["-", "12.2"]
    assert rows["group/oriented"] == ["0.750", "-"]
    assert rows["all"] == ["0.500", "-"]
    assert rows["reconstruction/iou"] == ["0.5"]


def test_a_table_of_no_objects_says_so():
    metrics = {"data/test_objects": 0, "data/test_duplicates_removed": 4}
    assert "No test objects are left" in table.format_table(metrics)
