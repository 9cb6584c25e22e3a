"""What happens to two processes that train together: they equal one, and stop and go on as one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rotdis import checkpoint
from tests.faults.training import final_state

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "--config=configs/smoke.py",
    "--config.data.resolution=16",
    "--config.data.num_train=60",
    "--config.data.num_test=0",
    "--config.data.validation_fraction=0.0",
    "--config.data.workers=1",
    "--config.model.width=8",
    "--config.model.grid=4",
    "--config.model.volume_size=4",
    "--config.model.volume_channels=2",
    "--config.pose.width=8",
    "--config.pose.second_width=0",
    "--config.pose.frame_width=0",
    "--config.frames.synchronize_at=()",
    "--config.train.steps_per_call=1",
    "--config.train.eval_every=1000",
)
PLAIN = (
    "--config.pose.method=none",
    "--config.train.steps=60",
    "--config.train.checkpoint_every=10",
)
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    pytest.importorskip("igl")
    return tmp_path_factory.mktemp("data")


class _Pod:
    """Processes that train together; as many as are asked for."""

    def __init__(self, count, workdir, data_dir, *options):
        command = [sys.executable, "-m", "rotdis.main", f"--workdir={workdir}", *TINY, *options]
        command.append(f"--config.data.dir={data_dir}")
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        self.workdir, self.processes = workdir, []
        for process_id in range(count):
            if count > 1 and not process_id:
                with socket.socket() as free:
                    free.bind(("127.0.0.1", 0))
                    command.append(f"--coordinator=127.0.0.1:{free.getsockname()[1]}")
                command.append(f"--processes={count}")
            who = [f"--process_id={process_id}"] if count > 1 else []
            self.processes.append(
                subprocess.Popen(
                    command + who,
                    cwd=ROOT,
                    env=environment,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )  # fmt: skip
            )

    def until_saved(self, step):
        """Waits until the checkpoint of a step, or of a later one, is complete."""
        while not any(saved >= step for saved in _saved(self.workdir)):
            assert all(process.poll() is None for process in self.processes), self.end()
            time.sleep(0.05)

    def end(self):
        """Returns exit status, output and errors of each process, when all have ended."""
        results = []
        for process in self.processes:
            try:
                output, errors = process.communicate(timeout=900)
            finally:
                process.kill()
            results.append((process.returncode, output, errors))
        return results


def _saved(workdir):
    folder = workdir / "checkpoints"
    return [int(path.name) for path in folder.glob("*") if path.name.isdigit()]


def _rows(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row for row in map(json.loads, lines)}


def _train(count, workdir, data_dir, *options):
    results = _Pod(count, workdir, data_dir, *options).end()
    assert all(status == 0 for status, _, _ in results), results
    return results


@pytest.mark.parametrize("method, loader", [("mixture", "resident"), ("none", "tfdata")])
def test_two_processes_have_the_loss_curve_of_one(method, loader, data_dir, tmp_path, record_fault):
    options = (
        f"--config.pose.method={method}",
        "--config.train.steps=6",
        "--config.train.log_every=1",
        "--config.train.checkpoint_every=6",
    )
    # One of them by the resident loader: each process must feed the part of the batch that is its.
    _train(1, tmp_path / "one", data_dir, *options)
    results = _train(2, tmp_path / "two", data_dir, f"--config.data.loader={loader}", *options)
    one, two = _rows(tmp_path / "one"), _rows(tmp_path / "two")
    assert one.keys() == two.keys() == set(range(1, 7))
    # The first step's parameters are the same to the bit: only the order of the gradient's sums
    # differs. Adam divides by the gradient's size, where it is small by its rounding: what follows
    # drifts apart.
    for step, tolerance in ((1, 1e-5), (2, 1e-3), (3, 1e-3)):
        for name in ("train/loss", "train/gradient_norm", "train/sse"):
            if step == 1 or name != "train/gradient_norm":
                assert np.isclose(two[step][name], one[step][name], rtol=tolerance), (step, name)
    # Process 0 logs, alone.
    others = re.sub(
        r"\[Gloo\].*\n?|E\d{4} .*\n?|\*+\n|\[Compiling .*\n|\n", "", "".join(results[1][1:])
    )
    assert not others, others
    record_fault(
        "two processes instead of one, the same global batch", 1, "the same losses, to rounding"
    )


def test_two_processes_find_frames_and_evaluate_as_one_does(data_dir, tmp_path, record_fault):
    """Both take the first one's frames, and the first alone evaluates, for both."""
    options = (
        "--config.data.num_train=80",
        "--config.data.num_test=20",
        "--config.data.validation_fraction=0.25",
        "--config.pose.frame_width=8",
        "--config.frames.synchronize_at=(0.5,)",
        "--config.optimizer.learning_rate=1e-6",  # so small that they do not drift apart
        "--config.optimizer.warmup_steps=1",
        "--config.train.steps=4",
        "--config.train.log_every=1",
        "--config.train.eval_every=4",
        "--config.train.checkpoint_every=4",
    )
    _train(1, tmp_path / "one", data_dir, *options)
    (_, report, _), (_, silence, _) = _train(2, tmp_path / "two", data_dir, *options)
    assert "report: " in report and "report: " not in silence
    one, two = (final_state(tmp_path / name).frames for name in ("one", "two"))
    assert np.abs(one).max() > 0.5
    assert np.allclose(one, two, atol=1e-2)  # straightening amplifies what is rounded otherwise
    one, two = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")
    )
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert np.isclose(two[name], value, rtol=1e-3, atol=1e-3), name
    record_fault(
        "a search for frames and an evaluation by two processes", 1, "the same as by one process"
    )


@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_killed_stops_both_and_they_go_on(victim, data_dir, tmp_path, record_fault):
    pod = _Pod(2, tmp_path, data_dir, *PLAIN)
    pod.until_saved(10)
    began = time.monotonic()
    pod.processes[victim].kill()
    results = pod.end()
    assert time.monotonic() - began < 90
    status, _, errors = results[1 - victim]
    assert status not in (0, None)
    # JAX's own words, where its service was quicker to notice that process 0 is gone.
    assert "lost another process" in errors or "another task died" in errors, errors
    newest = max(_saved(tmp_path))
    _train(2, tmp_path, data_dir, *PLAIN)
    assert max(_saved(tmp_path)) == 60 > newest >= 10
    assert {10, 20, 30, 40, 50, 60} <= _rows(tmp_path).keys()
    record_fault(
        f"one of two processes killed (process {victim})",
        1,
        "the other stops at once and says so; restarted, both go on from the last checkpoint",
    )


@pytest.mark.parametrize("signalled", [(0,), (1,), (0, 1)])
def test_a_signal_to_any_of_them_saves_and_stops_all(signalled, data_dir, tmp_path, record_fault):
    pod = _Pod(2, tmp_path, data_dir, *PLAIN, "--config.train.steps=6000")
    pod.until_saved(10)
    for process_id in signalled:
        pod.processes[process_id].send_signal(signal.SIGTERM)
    results = pod.end()
    assert [status for status, _, _ in results] == [128 + signal.SIGTERM] * 2, results
    (step,) = re.findall(r"stopped by SIGTERM after step (\d+), which is saved", results[0][2])
    assert max(_saved(tmp_path)) == int(step)
    # Nothing half-written: it restores, and no temporary folder is left.
    assert checkpoint.Checkpoints(tmp_path, read_only=True).latest_step() == int(step)
    assert not [path for path in (tmp_path / "checkpoints").iterdir() if not path.name.isdigit()]
    pod = _Pod(2, tmp_path, data_dir, *PLAIN, "--config.train.steps=6000")
    pod.until_saved(int(step) + 1)
    for process in pod.processes:
        process.send_signal(signal.SIGTERM)
    assert [status for status, _, _ in pod.end()] == [128 + signal.SIGTERM] * 2
    record_fault(
        "SIGTERM to " + ("both" if len(signalled) == 2 else f"process {signalled[0]}") + " of two",
        1,
        "both save the same step together, stop with 143, and go on from it",
    )
