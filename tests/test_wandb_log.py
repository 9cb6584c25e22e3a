"""Weights & Biases gets what the other readers get; a stand-in takes the place of the package."""

import importlib
import json
import sys
import types

import numpy as np
import pytest

from rotdis import metric_writer
from rotdis.errors import RotdisError


class _Run:
    def __init__(self, options):
        self.options, self.rows, self.finished = options, [], False

    def log(self, values, step):
        assert not self.finished
        self.rows.append((step, values))

    def finish(self):
        self.finished = True


@pytest.fixture
def package(monkeypatch):
    """The stand-in, with the runs that were opened."""
    fake = types.ModuleType("wandb")
    fake.runs = []
    fake.init = lambda **options: fake.runs.append(_Run(options)) or fake.runs[-1]
    fake.Image = lambda picture: ("image", picture.shape)
    fake.errors = types.SimpleNamespace(Error=type("Error", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delitem(sys.modules, "rotdis.wandb_log", raising=False)
    yield fake
    sys.modules.pop("rotdis.wandb_log", None)


def _open(workdir):
    module = importlib.import_module("rotdis.wandb_log")
    return module.WandbLog("shapes", workdir, {"seed": 0})


def test_it_gets_the_same_metrics_as_the_file(package, tmp_path):
    writer = metric_writer.MetricWriter(tmp_path, mirror=_open(tmp_path))
    scalars = {"train/loss": np.float32(1.5), "train/kl": 2.0}
    writer.write_scalars(3, scalars)
    writer.write_images(3, {"objects": np.zeros((4, 6, 3), np.uint8)})
    writer.close()
    (run,) = package.runs
    (row,) = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert run.rows == [
        (3, {"train/loss": 1.5, "train/kl": 2.0}),
        (3, {"objects": ("image", (4, 6, 3))}),
    ]
    assert row == {"step": 3} | run.rows[0][1]
    assert run.finished
    assert run.options["project"] == "shapes" and run.options["config"] == {"seed": 0}


def test_a_resumed_run_goes_on_under_its_id(package, tmp_path):
    for _ in range(2):
        _open(tmp_path / "chairs").close()
    _open(tmp_path / "sofas").close()
    first, again, other = (run.options for run in package.runs)
    assert first["id"] == again["id"] != other["id"]
    assert first["name"] == "chairs" and first["resume"] == "allow"


def test_a_missing_login_is_said_in_one_line(package, tmp_path):
    def refuse(**options):
        raise package.errors.Error("api_key not\nconfigured")

    package.init = refuse
    with pytest.raises(RotdisError, match="train.wandb: .*api_key not configured.*wandb login"):
        _open(tmp_path)
