"""Laws of the sweep: its cells, what it reads of finished runs, and the share of the gap."""

import collections
import csv
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from configs import latent_sweep
from rotdis import checkpoint, config, config_rules, metric_writer, run_folder, step, sweep
from rotdis.errors import ConfigError, RotdisError
from rotdis.models import rotation_vae

SSE = {"none,vae,4,0": 10.0, "so3,vae,4,0": 30.0, "so3,mixture,4,0": 12.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three finished runs and one that has only begun."""
    folder = tmp_path_factory.mktemp("sweep")
    for cell, sse in SSE.items():
        settings = latent_sweep.get_config(cell)
        run = folder / cell
        run_folder.save_config(run, settings)
        (run / "checkpoints" / str(settings.train.steps)).mkdir(parents=True)
        writer = metric_writer.MetricWriter(run)
        for number, speed in enumerate((1.0, 32.0, 32.0)):
            writer.write_scalars(number + 1, {"speed/views_per_second": speed})
        writer.close()
        metrics = {"reconstruction/sse": sse, "reconstruction/iou": 0.5, "latent/nn1_accuracy": 0.9}
        metrics |= {"latent/linear_probe_accuracy": 0.8}
        if cell.startswith("none"):
            metrics |= {"reconstruction/sse": 1.5 * sse, "reconstruction/sse_turned": sse}
        metrics |= {"pose/pair_median_deg": 3.0, "pose/pair_acc30": 0.7}
        (run / "metrics.json").write_text(json.dumps(metrics))
    (folder / "so3,search,4,0").mkdir()
    return folder


@pytest.mark.parametrize("cell", ["so3,mixture,16,0", "cube,search,4,1", "none,vae,32,0"])
def test_a_cell_is_a_valid_configuration(cell):
    settings = latent_sweep.get_config(cell)
    config_rules.validate(settings)
    rotations, _, size, seed = cell.split(",")
    assert settings.data.rotations == rotations
    assert (settings.model.latent_size, settings.seed) == (int(size), int(seed))


def test_cells_differ_in_what_they_are_named_by_alone():
    one, other = (
        config.flatten(latent_sweep.get_config(cell))
        for cell in ("so3,mixture,16,0", "so3,search,4,1")
    )
    different = {name for name in one if one[name] != other[name]}
    assert different == {"pose.method", "model.latent_size", "seed"}
    # Over all rotations each view is decoded from its own code, as a search's always is.
    assert not one["loss.swap_codes"]
    assert latent_sweep.get_config("cube,mixture,16,0").loss.swap_codes


@pytest.mark.parametrize("cell", ["so3,mixture,16", "so3,guess,16,0", "so3,vae,many,0"])
def test_what_is_no_cell_is_told(cell):
    with pytest.raises(ConfigError, match="a cell is ROTATIONS,METHOD,LATENT_SIZE,SEED"):
        latent_sweep.get_config(cell)


def test_finished_runs_become_rows_and_a_plot(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sweep", str(folder)])
    seconds = {cell: 1.5 if "mixture" in cell else 0.5 for cell in SSE}
    monkeypatch.setattr(
        sweep, "_seconds_per_object", lambda runs: [seconds[run.name] for run in runs]
    )
    sweep.main()
    with (folder / "sweep.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"aligned VAE", "rotated VAE", "mixture"}
    assert float(rows["mixture"]["gap_closed"]) == pytest.approx(0.9)
    assert float(rows["rotated VAE"]["gap_closed"]) == 0
    assert float(rows["mixture"]["seconds_per_step"]) == 2  # 2 x 32 views at 32 a second
    assert float(rows["mixture"]["seconds_per_object"]) == 1.5
    assert float(rows["mixture"]["pair_acc30"]) == 0.7
    assert float(rows["mixture"]["encoding_ratio"]) == pytest.approx(3)
    assert "90%" in capsys.readouterr().out
    pixels = np.asarray(Image.open(folder / "sweep.png"))
    assert pixels.min() < 100 < 250 < pixels.max()


def test_encoding_is_timed_on_the_restored_model(tmp_path):
    settings = latent_sweep.get_config("so3,vae,4,0")
    settings.model.width = 8
    run_folder.save_config(tmp_path, settings)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(step.init_state(rotation_vae.create(settings), settings))
    checkpoints.close()
    (seconds,) = sweep._seconds_per_object([tmp_path])
    assert 0 < seconds < 10


def test_runs_of_different_resolutions_are_not_compared(tmp_path, monkeypatch):
    model = collections.namedtuple("Model", "resolution")
    runs = [tmp_path / "16", tmp_path / "32"]
    monkeypatch.setattr(sweep.inference, "load_run", lambda run: model(int(run.name)))
    with pytest.raises(RotdisError, match="32: is of 32.3 voxels, 16 of 16.3; .* move it away"):
        sweep._seconds_per_object(runs)


def test_the_aligned_vae_stands_beside_others_by_objects_that_are_turned_as_theirs():
    row = _row("none", "aligned VAE", sse=20.0)
    row.sse_turned = 12.0
    rows = {}
    for rotations in ("so3", "cube"):
        one = _row(rotations, "mixture", sse=16.0)
        sweep._fill_in_gaps([one, _row(rotations, "rotated VAE", sse=28.0), row])
        rows[rotations] = one.gap_closed
    assert rows == {"so3": 12 / 16, "cube": 12 / 8}
    row.sse_turned = np.nan  # by a version that did not measure it
    sweep._fill_in_gaps([one := _row("so3", "mixture", 16.0), _row("so3", "rotated VAE", 28), row])
    assert np.isnan(one.gap_closed)


def test_a_gap_without_its_references_is_unknown():
    row = _row("so3", "mixture", sse=12.0)
    sweep._fill_in_gaps([row])
    assert np.isnan(row.gap_closed)


def test_where_turning_costs_nothing_there_is_no_gap():
    rows = [_row("so3", "mixture", 12.0), _row("so3", "rotated VAE", 9.0)]
    rows.append(_row("none", "aligned VAE", 10.0))
    sweep._fill_in_gaps(rows)
    assert all(np.isnan(row.gap_closed) for row in rows)


def test_encoding_is_compared_with_the_median_of_the_plain_models():
    rows = [_row("so3", "mixture", 12.0, seconds=0.6)]
    rows += [_row("so3", "rotated VAE", 9.0, seconds=seconds) for seconds in (0.1, 0.2, 0.9)]
    sweep._fill_in_encoding_ratios(rows)
    assert [row.encoding_ratio for row in rows] == pytest.approx([3, 0.5, 1, 4.5])


def test_without_a_plain_model_the_cost_of_encoding_is_compared_with_nothing():
    row = _row("so3", "mixture", sse=12.0)
    sweep._fill_in_encoding_ratios([row])
    assert np.isnan(row.encoding_ratio)


def _row(rotations, method, sse, seconds=0.1):
    turned = sse if method == "aligned VAE" else np.nan
    return sweep.Row(
        rotations, method, 8, 0, sse, turned, np.nan, 0.5, 0.9, 0.8, 3.0, 0.8, 1.0, seconds
    )


@pytest.mark.parametrize("content", ["{}", "3", "{"])
def test_a_run_that_lacks_something_is_named(content, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "sweep")
    (tmp_path / "sweep" / "so3,mixture,4,0" / "metrics.json").write_text(content)
    with pytest.raises(RotdisError, match="so3,mixture,4,0: lacks what a finished run has"):
        sweep.collect(tmp_path / "sweep")


def test_a_run_that_was_evaluated_under_way_is_not_finished(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "sweep")
    checkpoints = tmp_path / "sweep" / "so3,mixture,4,0" / "checkpoints"
    (newest,) = checkpoints.iterdir()
    newest.rename(checkpoints / "800")
    with pytest.raises(RotdisError, match="so3,mixture,4,0: lacks .*all of its .* steps"):
        sweep.collect(tmp_path / "sweep")


def test_a_folder_without_finished_runs_is_told(tmp_path, monkeypatch, capsys):
    with pytest.raises(RotdisError, match="no finished run"):
        sweep.collect(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sweep", str(tmp_path)])
    with pytest.raises(SystemExit) as exit_:
        sweep.main()
    assert exit_.value.code == 2
    assert "launch/latent_sweep.sh" in capsys.readouterr().err
