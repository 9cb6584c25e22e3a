"""What is written can be read back, once, whatever was interrupted."""

import json
import math

import numpy as np
import pytest

from rotdis.metric_writer import MetricWriter, read_scalars


def _write(workdir, steps, *, step=0):
    writer = MetricWriter(workdir, step=step)
    for s in steps:
        writer.write_scalars(s, {"train/loss": float(s), "train/kl": 2.0 * s})
    writer.close()


def _tensorboard_steps(workdir, name):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(workdir / "tensorboard"), size_guidance={})
    events.Reload()
    return [event.step for event in events.Scalars(name)]


def test_scalars_come_back_as_written(tmp_path):
    _write(tmp_path, [1, 2, 3])
    steps, values = read_scalars(tmp_path)["train/kl"]
    np.testing.assert_array_equal(steps, [1, 2, 3])
    np.testing.assert_array_equal(values, [2.0, 4.0, 6.0])
    assert _tensorboard_steps(tmp_path, "train/kl") == [1, 2, 3]


def test_a_resumed_run_has_every_step_once(tmp_path):
    _write(tmp_path, [1, 2, 3, 4])
    _write(tmp_path, [3, 4, 5], step=2)
    np.testing.assert_array_equal(read_scalars(tmp_path)["train/loss"][0], [1, 2, 3, 4, 5])
    assert _tensorboard_steps(tmp_path, "train/loss") == [1, 2, 3, 4, 5]


def test_a_run_started_anew_forgets_the_old_one(tmp_path):
    _write(tmp_path, [1, 2, 3])
    _write(tmp_path, [1], step=0)
    np.testing.assert_array_equal(read_scalars(tmp_path)["train/loss"][0], [1])
    assert _tensorboard_steps(tmp_path, "train/loss") == [1]


def test_a_line_cut_short_by_a_kill_is_dropped_and_the_next_is_whole(tmp_path):
    _write(tmp_path, [1, 2])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "train/lo')
    _write(tmp_path, [3], step=2)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]


def test_values_that_are_not_finite_stay_readable_json(tmp_path):
    writer = MetricWriter(tmp_path)
    writer.write_scalars(1, {"a": math.nan, "b": math.inf, "c": np.float32(1.5)})
    writer.close()
    row = json.loads(
        (tmp_path / "metrics.jsonl").read_text(), parse_constant=lambda name: pytest.fail(name)
    )
    assert row == {"step": 1, "a": None, "b": None, "c": 1.5}
    assert np.isnan(read_scalars(tmp_path)["a"][1]).all()


def test_pictures_reach_tensorboard_as_they_are(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    picture = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    writer = MetricWriter(tmp_path)
    writer.write_images(7, {"objects": picture})
    writer.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    (image,) = events.Images("objects")
    assert (image.step, image.height, image.width) == (7, 12, 20)


def test_flush_makes_rows_visible(tmp_path):
    writer = MetricWriter(tmp_path)
    writer.write_scalars(1, {"a": 1.0})
    writer.flush()
    assert "a" in read_scalars(tmp_path)
    writer.close()


def test_a_disabled_writer_touches_nothing(tmp_path):
    writer = MetricWriter(tmp_path / "run", enabled=False)
    writer.write_scalars(1, {"a": 1.0})
    writer.write_images(1, {"a": np.zeros((4, 4, 3), np.uint8)})
    writer.flush()
    writer.close()
    assert not (tmp_path / "run").exists()


def test_a_run_without_scalars_has_no_curves(tmp_path):
    assert read_scalars(tmp_path) == {}
