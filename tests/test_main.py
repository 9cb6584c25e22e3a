"""The command line as users run it, in processes of its own."""

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import tiny_config

import rotdis
from configs.smoke import get_config
from rotdis import main, usage
from rotdis.config import describe
from rotdis.errors import RotdisError
from rotdis.metric_writer import read_scalars
from rotdis.run_folder import load_config

pytest.importorskip("igl")
ROOT = Path(__file__).resolve().parents[1]
_SMOKE = describe(get_config()).splitlines()
TINY = (
    *(line for line in describe(tiny_config()).splitlines() if line not in _SMOKE),
    "--config.train.steps=20",
    "--config.train.checkpoint_every=10",
    "--config.train.batch_size=4",
    "--config.model.occupancy=True",  # as in configs/furniture.py
    "--config.loss.swap_codes=False",
    "--config.data.classes=('bed','chair','monitor','sofa','toilet','table')",
    "--config.data.num_train=30",
    "--config.data.num_test=12",
)


def _command(*options):
    return [sys.executable, "-m", "rotdis.main", *map(str, options)]


def _environment():
    return os.environ | {"JAX_PLATFORMS": "cpu"}


def _run(*options, status=0):
    result = subprocess.run(
        _command(*options),
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == status, result.stdout + result.stderr
    return result


def _train(workdir, data_dir, *more):
    return ("--config=configs/smoke.py", f"--workdir={workdir}", f"--config.data.dir={data_dir}",
            *TINY, *more)  # fmt: skip


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    """A finished run."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    result = _run(*_train(workdir, data_dir))
    return workdir, result


def test_training_ends_with_metrics_and_a_report(run):
    workdir, result = run
    metrics = json.loads((workdir / "metrics.json").read_text())
    for name in (
        "reconstruction/iou", "reconstruction/sse", "reconstruction/tpr", "reconstruction/tnr",
        "pose/pair_median_deg", "pose/pair_acc15", "pose/pair_acc30", "canonical/instance_iou",
        "canonical/category_median_deg", "canonical/category_acc30", "latent/nn1_accuracy",
        "latent/linear_probe_accuracy", "latent/view_distance", "reconstruction/iou/class/chair",
        "pose/pair_median_deg/group/oriented", "data/test_duplicates_removed",
    ):  # fmt: skip
        assert np.isfinite(metrics[name]), name
    assert metrics["data/test_objects"] == 12
    assert "pair" in result.stdout and (workdir / "report.html").stat().st_size > 100_000
    assert list((workdir / "tensorboard").iterdir())


def test_the_log_holds_what_we_print_and_nothing_else(run):
    """TensorFlow, TFDS, Orbax, absl and XLA, all installed, have nothing to add."""
    _, result = run
    # XLA's alarm, on a machine so busy that a compilation takes minutes, is no noise.
    alarm = r"(E\d{4} .*slow_operation_alarm.*)?\n?\*+\n\[Compiling module .*\n\*+\n"
    for line in re.sub(alarm, "", result.stderr).splitlines():
        assert re.match(r"(prepare|train) \d+/\d+ (objects|steps) ", line), line
    configuration, _, rest = result.stdout.partition("prepared ")
    assert "--config.train.steps=20" in configuration.splitlines()
    assert all(line.startswith("--config.") for line in configuration.splitlines())
    ours = (
        r"\d+ train, \d+ validation, \d+ test objects at|  (skipped|quirks|duplicates): |"
        r"12 test objects |$|  [a-z0-9_]+/[a-z0-9_]+ |  +objects |  [a-z_/]+ +\d+ |report: "
    )
    for line in rest.splitlines():
        assert re.match(ours, line), line


@pytest.mark.slow
def test_writing_shards_by_tensorflow_is_quiet_too(run, data_dir):
    pytest.importorskip("tensorflow_datasets")
    result = _run("--mode=prepare", *_train(run[0], data_dir))
    assert not result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == ["prepared", "shards"]


def test_the_configuration_is_saved_as_it_was_given(run):
    saved = json.loads((run[0] / "config.json").read_text())["config"]
    assert saved["train"]["steps"] == 20 and saved["model"]["width"] == 8
    config = load_config(run[0])
    assert all(line.startswith("--config.") for line in describe(config).splitlines())
    assert config.data.classes == ("bed", "chair", "monitor", "sofa", "toilet", "table")
    assert "--config.frames.synchronize_at=()" in describe(config)


@pytest.mark.slow
def test_a_run_stopped_by_a_signal_goes_on_to_the_very_same_end(run, data_dir, tmp_path):
    workdir = tmp_path / "stopped"
    command = _command(*_train(workdir, data_dir))
    with subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        for line in process.stderr:
            if line.startswith("train 10/"):
                process.send_signal(signal.SIGTERM)
                break
        message = process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM, message
    assert "stopped by SIGTERM" in message and "the same command goes on" in message
    _run(*_train(workdir, data_dir))
    one, two = rotdis.load(run[0]), rotdis.load(workdir)
    for expected, leaf in zip(
        jax.tree.leaves(one.params), jax.tree.leaves(two.params), strict=True
    ):
        assert np.array_equal(leaf, expected)
    logs = [read_scalars(path) for path in (run[0], workdir)]
    assert logs[0].keys() == logs[1].keys()
    for name in logs[0]:
        if not name.startswith("speed/"):
            assert np.array_equal(logs[0][name], logs[1][name]), name
    metrics = [json.loads((path / "metrics.json").read_text()) for path in (run[0], workdir)]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
def test_the_same_command_on_a_finished_run_only_evaluates(run, data_dir):
    workdir, _ = run
    before = (workdir / "metrics.jsonl").read_text()
    metrics = json.loads((workdir / "metrics.json").read_text())
    _run(*_train(workdir, data_dir))
    assert (workdir / "metrics.jsonl").read_text() == before
    assert json.loads((workdir / "metrics.json").read_text()) == metrics


def test_evaluation_repeats_the_numbers(run):
    workdir, _ = run
    metrics = json.loads((workdir / "metrics.json").read_text())
    (workdir / "metrics.json").unlink()
    result = _run("--mode=evaluate", f"--workdir={workdir}")
    assert json.loads((workdir / "metrics.json").read_text()) == metrics
    assert "reconstruction" in result.stdout


def test_meshes_are_reconstructed_and_bad_ones_skipped(run, tmp_path):
    from rotdis.data import furniture

    folder = tmp_path / "meshes"
    folder.mkdir()
    mesh = furniture.make_object("chair", 3)
    mesh.export(folder / "chair.obj")
    mesh.export(folder / "chair.stl")
    (folder / "bad.off").write_text("OFF\n3 1 0\n0 0 0\n")
    result = _run("--mode=reconstruct", f"--workdir={run[0]}", f"--input={folder}",
                  f"--output={tmp_path / 'out'}")  # fmt: skip
    assert "skipped: " in result.stdout and "bad.off" in result.stdout
    rows = json.loads((tmp_path / "out" / "poses.json").read_text())
    assert [row["file"] for row in rows] == ["chair.obj", "chair.stl"]
    assert np.allclose(rows[0]["pose"], rows[1]["pose"], atol=1e-2)
    import trimesh

    turned = trimesh.load_mesh(tmp_path / "out" / "canonical" / "chair.obj")
    expected = trimesh.load_mesh(folder / "chair.obj").apply_transform(rows[0]["pose"])
    assert np.allclose(turned.bounds, expected.bounds, atol=1e-4)
    codes = np.load(tmp_path / "out" / "codes.npz")
    assert codes["z_mean"].shape == (2, 4)
    _run("--mode=align", f"--workdir={run[0]}", f"--input={folder}", "--align_by=all",
         f"--output={tmp_path / 'aligned'}")  # fmt: skip
    assert (tmp_path / "aligned" / "chair.stl").exists()
    for path in [folder / "bad.off", tmp_path / "nothing"]:
        result = _run("--mode=reconstruct", f"--workdir={run[0]}", f"--input={path}", status=1)
        assert path.name in result.stderr and len(result.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_page_is_served_until_ctrl_c(run):
    pytest.importorskip("websockets")
    command = _command("--mode=explore", f"--workdir={run[0]}", "--port=0", "--nobrowser")
    with subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            lines = []
            while "http://" not in (line := process.stdout.readline()):
                assert line, lines
                lines.append(line)
            assert "12 objects, the test split of furniture" in lines[0]
            with urllib.request.urlopen(line.split()[1], timeout=60) as page:
                assert b"<canvas" in page.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0 and "ended" in process.stdout.read()
        finally:
            process.kill()


def test_help_is_a_page_and_asking_for_it_is_no_failure():
    result = _run("--help")
    for word in ("--config", "--workdir", "go on where", "examples:", "exit status: 0 done"):
        assert word in result.stdout, word
    assert max(map(len, result.stdout.splitlines())) <= usage.WIDTH + 1
    assert len(result.stdout.splitlines()) < 85 and not result.stderr
    assert "only_check_args" in _run("--helpfull").stdout  # absl's own
    assert _run("--version").stdout == f"rotdis {rotdis.__version__}\n"


def test_output_that_nobody_reads_on_is_no_error():
    with subprocess.Popen(
        _command("--help"), cwd=ROOT, env=_environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE


def test_a_file_name_that_is_not_utf_8_can_be_printed(monkeypatch):
    strict = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr("sys.stdout", strict)
    monkeypatch.setattr(main.interrupt, "raise_stopped_on_signals", lambda: None)
    monkeypatch.setattr(main, "_run", lambda _: print(os.fsdecode(b"br\xfcn.stl")))
    monkeypatch.setattr("sys.argv", ["rotdis"])
    main.main()
    assert strict.buffer.getvalue() == b"br\\udcfcn.stl\n"


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of it")])
def test_too_little_memory_is_explained(error):
    with pytest.raises(RotdisError, match="memory runs out .*; lower config.train.batch_size"):
        with main._explained():
            raise error
    with pytest.raises(RuntimeError, match="of ours"), main._explained():
        raise RuntimeError("a defect of ours")


def test_a_signal_outside_of_training_ends_the_command_in_one_line_too(tmp_path):
    """It comes while objects are prepared, by two processes besides."""
    options = _train(tmp_path / "w", tmp_path / "data", "--config.data.num_train=2000",
                     "--config.data.workers=2")  # fmt: skip
    with subprocess.Popen(
        _command(*options), cwd=ROOT, env=_environment(), stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        for line in process.stderr:
            if line.startswith("prepare "):
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does
                break
        rest = process.stderr.read()
    assert process.returncode == 128 + signal.SIGINT, rest
    last = rest.strip().splitlines()[-1]
    assert last.startswith("rotdis: stopped by SIGINT") and "the same command goes on" in last
    assert "Traceback" not in rest, rest
    assert list((tmp_path / "data").rglob("*.npz"))  # finished chunks are kept


def test_a_missing_package_is_named_before_anything_is_done(tmp_path):
    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed")
    options = _train(tmp_path / "w", tmp_path / "data", "--config.train.wandb=shapes")
    result = _run(*options, status=1)
    assert result.stderr.count("\n") == 1 and "pip install -e '.[wandb]'" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--config=configs/smoke.py"], "--workdir"),
        (["--workdir={tmp}"], "--config"),
        (["--config=configs/none.py", "--workdir={tmp}"], "configs/none.py"),
        (
            ["--config=configs/smoke.py", "--workdir={tmp}", "--config.model.depth=3"],
            "--config.model.depth: there is no such field",
        ),
        (
            ["--config=configs/smoke.py", "--workdir={tmp}", "--config.trian.steps=3"],
            "--config.trian.steps: there is no such field; did you mean train?",
        ),
        (["--config=configs/smoke.py", "--workdir={tmp}", "--config.train.steps=ten"], "steps"),
        (["--config=configs/smoke.py", "--workdir={tmp}", "--config.train.steps=0"], "train.steps"),
        (["--config=configs/smoke.py", "--workdir={tmp}", "--mode=play"], "mode"),
        (["--mode=reconstruct", "--workdir={tmp}"], "--input"),
        (["--mode=report", "--workdir={tmp}", "--output=x"], "--output: is for --mode=evaluate"),
        (
            ["--mode=evaluate", "--workdir={tmp}", "--config.pose.refine_steps=20"],
            "--config.pose.refine_steps: needs a --config=FILE before it",
        ),
        (["furniture"], "furniture"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_command_line_gets_one_line_and_status_2(options, message, tmp_path):
    _refused(options, message, tmp_path, status=2)


@pytest.mark.parametrize(
    "options, message",
    [
        (
            ["--config=configs/smoke.py", "--workdir={tmp}", "--config.data.source=gone.zip"],
            "gone.zip",
        ),
        (["--mode=evaluate", "--workdir=no-such-run"], "no-such-run"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_missing_gets_one_line_and_status_1(options, message, tmp_path):
    _refused(options, message, tmp_path, status=1)


def _refused(options, message, tmp_path, status):
    result = _run(*(option.format(tmp=tmp_path / "w") for option in options), status=status)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and message in lines[0], result.stderr


def test_a_workdir_of_another_model_is_refused(run, data_dir):
    result = _run(*_train(run[0], data_dir, "--config.model.latent_size=5"), status=1)
    assert "model.latent_size (4 there, 5 here)" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_folder_of_corrupt_meshes_is_refused(tmp_path):
    path = tmp_path / "ModelNet" / "chair" / "train" / "chair_0001.off"
    path.parent.mkdir(parents=True)
    path.write_text("OFF\n3 1 0\n0 0 0\n")
    result = _run("--config=configs/smoke.py", f"--workdir={tmp_path}/w",
                  f"--config.data.dir={tmp_path}/data",
                  f"--config.data.source={tmp_path}/ModelNet", status=1)  # fmt: skip
    errors = [line for line in result.stderr.splitlines() if line.startswith("rotdis: ")]
    assert len(errors) == 1 and "chair_0001.off" in errors[0] and "cut short" in errors[0]
    assert "Traceback" not in result.stderr


def test_an_archive_with_other_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", images=np.zeros((2, 2)))
    result = _run("--config=configs/smoke.py", f"--workdir={tmp_path}/w",
                  f"--config.data.source={tmp_path}/other.npz", status=1)  # fmt: skip
    assert "holds the arrays images" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_it_runs_on_real_modelnet10(modelnet10_dir, data_dir, tmp_path):
    _run(*_train(tmp_path / "real", data_dir),
         f"--config.data.source={modelnet10_dir / 'modelnet10_30.npz'}",
         "--config.data.classes=('bathtub','desk','night_stand')")  # fmt: skip
    metrics = json.loads((tmp_path / "real" / "metrics.json").read_text())
    assert metrics["data/test_objects"] > 20
    # Twenty steps teach little, but the reconstruction is near the objects' few occupied voxels.
    assert 0 < metrics["reconstruction/sse"] < 16**3 / 2
    assert metrics["pose/pair_median_deg"] > 0
