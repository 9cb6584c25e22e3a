"""Small trainings by the command line, in processes that a test may kill, and what they leave."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np

from rotdis import checkpoint, run_folder, step, train
from rotdis.event_file import read_events
from rotdis.models import rotation_vae

ROOT = Path(__file__).resolve().parents[2]
# The whole model, small: twelve checkpoints, three of them with an evaluation, and after step 25 a
# search for frames, which the rest is trained on.
OPTIONS = (
    "--config.model.width=8",
    "--config.model.volume_channels=2",
    "--config.model.latent_size=4",
    "--config.pose.width=8",
    "--config.pose.second_width=8",
    "--config.pose.frame_width=8",
    "--config.frames.synchronize_at=(0.4,)",
    "--config.train.steps=60",
    "--config.train.log_every=5",
    "--config.train.checkpoint_every=5",
    "--config.train.eval_every=20",
    "--config.data.num_train=60",
    "--config.data.num_test=0",
    "--config.data.validation_fraction=0.2",
)


def command(workdir: Path, data_dir: Path, *options: str) -> list[str]:
    """Returns the command that trains in `workdir`; the later option prevails."""
    return [
        sys.executable, "-m", "rotdis.main", "--config=configs/smoke.py", f"--workdir={workdir}",
        f"--config.data.dir={data_dir}", *OPTIONS, *options,
    ]  # fmt: skip


def start(arguments: list[str], log: Path, **environment: str) -> subprocess.Popen:
    """Starts a command in the checkout; what it prints is added to `log`."""
    with log.open("a") as file:
        return subprocess.Popen(
            arguments,
            cwd=ROOT,
            env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(arguments: list[str], log: Path, status: int = 0, **environment: str) -> float:
    """Runs a command to its end, which is to have that exit status; returns the seconds."""
    began = time.monotonic()
    process = start(arguments, log, **environment)
    try:
        found = process.wait(600)
    finally:
        process.kill()
    assert found == status, f"{found}: {log.read_text()[-3000:]}"
    return time.monotonic() - began


def generator() -> random.Random:
    """Returns the source of a test's random moments; ROTDIS_FAULT_SEED repeats those printed."""
    seed = int(os.environ.get("ROTDIS_FAULT_SEED", time.time_ns() % 10**6))
    print(f"ROTDIS_FAULT_SEED={seed}")
    return random.Random(seed)


def stand_in(workdir: Path) -> list[str]:
    """Returns the command of a quick training of nothing, 200 steps with 40 checkpoints."""
    return [
        sys.executable, "-m", "tests.faults.stand_in", "--config=configs/smoke.py",
        f"--workdir={workdir}", "--config.train.steps=200", "--config.train.log_every=5",
        "--config.train.checkpoint_every=5", "--config.train.eval_every=10",
    ]  # fmt: skip


def final_state(workdir: Path, template: step.TrainState | None = None) -> step.TrainState:
    """Returns the newest checkpoint, as NumPy arrays; of the run's model, or like `template`."""
    config = run_folder.load_config(workdir)
    if template is None:
        template = step.init_state(rotation_vae.create(config), config)
    checkpoints = checkpoint.Checkpoints(workdir, read_only=True)
    try:
        state = checkpoints.restore(template, train.make_mesh(config.train.batch_size))
    finally:
        checkpoints.close()
    return jax.tree.map(np.asarray, state)


def metric_rows(workdir: Path) -> list[dict[str, float]]:
    """Returns the rows of the metrics log, without those that measure the time (speed/*)."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in row.items() if not name.startswith("speed/")}
        for row in rows
    ]


def assert_same_run(workdir: Path, expected: Path, template: step.TrainState | None = None) -> None:
    """Asserts that two runs ended bit-identical: state, checkpoints kept, metrics, TensorBoard."""
    states = [final_state(run, template) for run in (workdir, expected)]
    jax.tree.map(np.testing.assert_array_equal, *states)
    kept = [sorted(path.name for path in (run / "checkpoints").iterdir())
            for run in (workdir, expected)]  # fmt: skip
    assert kept[0] == kept[1]
    assert metric_rows(workdir) == metric_rows(expected)
    events = [
        [event for event in read_events(run / "tensorboard") if not event[1].startswith("speed/")]
        for run in (workdir, expected)
    ]
    assert len(set(event[:2] for event in events[0])) == len(events[0]), "events occur twice"
    assert sorted(events[0]) == sorted(events[1]) and events[0]
