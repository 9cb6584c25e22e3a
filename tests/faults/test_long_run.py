"""Hours of training with evaluations and checkpoints: memory, open files and speed stay flat.

ROTDIS_LONG_RUN_MINUTES says how long (launch/faults.sh: 120), ROTDIS_LONG_RUN_OPTIONS adds
options of the command.
"""

import os
import shlex
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from faults import training

from rotdis import metric_writer

pytest.importorskip("igl")
MINUTES = float(os.environ.get("ROTDIS_LONG_RUN_MINUTES", 0))
OPTIONS = shlex.split(os.environ.get("ROTDIS_LONG_RUN_OPTIONS", ""))
_INTERVAL = 2.0  # seconds between two looks at the process
_WARM_UP = 0.3  # of the time, at most 20 minutes


@pytest.mark.slow
@pytest.mark.skipif(not MINUTES, reason="ROTDIS_LONG_RUN_MINUTES is not set")
@pytest.mark.timeout(0)
def test_memory_files_and_speed_stay_flat(tmp_path, record_fault):
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory and open files are read from /proc")
    log, workdir = tmp_path / "log", tmp_path / "run"
    command = [
        sys.executable, "-m", "rotdis.main", "--config=configs/furniture.py",
        f"--workdir={workdir}", f"--config.data.dir={tmp_path / 'data'}",
        "--config.train.steps=10000000", "--config.train.checkpoint_every=20",
        "--config.train.eval_every=60", *OPTIONS,
    ]  # fmt: skip
    process = training.start(command, log)
    try:
        samples, speeds = _watch(process, workdir, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 128 + signal.SIGTERM, log.read_text()[-3000:]
    finally:
        process.kill()
    times, memory, files, threads = np.array(samples).T
    half = times > (times[0] + times[-1]) / 2
    growth = np.median(memory[half][-len(memory) // 5 :]) / np.median(memory[~half]) - 1
    series = metric_writer.read_scalars(workdir)
    steps, rates = series["speed/views_per_second"]
    rates = rates[steps > speeds]
    early, late = np.array_split(rates, 2)
    # What else the machine does slows some windows down: compare the upper quartiles.
    slowing = 1 - np.percentile(late, 75) / np.percentile(early, 75)
    summary = (
        f"{MINUTES:g} min after {times[0] / 60:.1f} min of warm-up: {int(steps[-1])} steps, "
        f"{len(series['validation/reconstruction/iou'][0])} evaluations; memory "
        f"{np.median(memory) / 2**20:.0f} MiB {growth:+.1%}, open files {files.min():.0f}-"
        f"{files.max():.0f}, threads {threads.min():.0f}-{threads.max():.0f}, step time "
        f"{slowing:+.1%}"
    )
    print(summary)
    assert growth < 0.03, summary
    assert files[half].max() <= files[~half].max(), summary
    assert threads[half].max() <= threads[~half].max(), summary
    assert slowing < 0.1, summary
    record_fault("long run", 1, summary)


def _watch(process, workdir, log):
    """Returns (seconds, bytes resident, open files, threads) after warm-up, and its last step."""
    began, samples = time.monotonic(), []
    while not list((workdir / "checkpoints").glob("[0-9]*")):  # data, compilation
        assert process.poll() is None, log.read_text()[-3000:]
        time.sleep(1)
    start = time.monotonic()
    warm = start + min(_WARM_UP * 60 * MINUTES, 20 * 60)
    while time.monotonic() < warm:
        time.sleep(1)
    steps = metric_writer.read_scalars(workdir)["train/loss"][0]
    while time.monotonic() < start + 60 * MINUTES:
        assert process.poll() is None, log.read_text()[-3000:]
        samples.append((time.monotonic() - began, *_look(process.pid)))
        time.sleep(_INTERVAL)
    return samples, steps[-1]


def _look(pid):
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir(folder / "fd")),
        len(os.listdir(folder / "task")),
    )
