"""The benchmark as a user starts it: tables, and the same as JSON; its errors are one line."""

import json
import subprocess
import sys

import pytest

from configs import smoke


def _run(*arguments, module="rotdis.benchmark"):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_step_loaders_and_inference_are_measured(tmp_path):
    path = tmp_path / "new" / "benchmark.json"
    done = _run(
        "--config=configs/smoke.py",
        "--config.search.restarts=32",
        "--config.search.refined=1",
        "--config.search.steps=1",
        "--only=training,loading,inference,encoding",
        "--seconds=0",
        f"--json={path}",
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(path.read_text())
    training = results["training"]
    assert training["views_per_second"] == pytest.approx(16 / training["seconds"])
    stages = {stage["name"]: stage for stage in training["stages"]}
    assert stages.keys() == {
        "views", "pose", "canonicalize", "encode", "decode", "backward", "update"
    }  # fmt: skip
    assert stages["decode"]["flops"] > 1e6 and training["flops"] > stages["backward"]["flops"]
    assert len(training["rotating"]) == 3 + smoke.get_config().model.occupancy
    assert results["loading"].keys() >= {"resident"} and min(results["loading"].values()) > 0
    assert results["inference"].keys() == {"1", "256"}
    plain, _, cube, everywhere = results["encoding"].values()
    assert 0 < plain < min(cube, everywhere)
    assert "views/s" in done.stdout and "objects/s" in done.stdout
    assert results["machine"]["matmul_flops"] > 1e8


def test_a_wrong_part_or_configuration_is_one_line():
    wrong = _run("--only=rotation,speed")
    assert wrong.returncode != 0 and "choose among rotation, training" in wrong.stderr
    wrong = _run("--config=configs/smoke.py", "--config.train.steps=-1")
    assert wrong.returncode == 2 and len(wrong.stderr.splitlines()) == 1
    assert "train.steps" in wrong.stderr


@pytest.mark.parametrize(
    "module, arguments, said",
    [
        ("", ["--config=configs/latent_sweep.py:cubes"], "a cell is ROTATIONS,METHOD"),
        (".scaling", ["--config=configs/smoke.py", "--config.model.grid=7"], "model.grid"),
        ("", ["--config=configs/smoke.py", "--config.train.stepz=3"], "did you mean steps?"),
        ("", ["--json=configs"], "--json=configs: is a folder"),
        (".scaling", ["--config=configs/baselines/search.py"], "'search' cannot be counted"),
        (".alignment", ["--workdir=nowhere"], "nowhere"),
    ],
)
def test_what_the_user_can_mend_is_one_line(module, arguments, said):
    wrong = _run(*arguments, module=f"rotdis.benchmark{module}")
    assert wrong.returncode in (1, 2)
    (line,) = wrong.stderr.splitlines()
    assert line.startswith(f"rotdis.benchmark{module}: ") and said in line


def test_alignment_takes_no_argument_for_an_option():
    wrong = _run("seed=1", module="rotdis.benchmark.alignment")
    assert wrong.returncode == 1 and "what is 'seed=1'?" in wrong.stdout + wrong.stderr
