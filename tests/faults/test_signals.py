"""SIGTERM and Ctrl-C: the run is saved within seconds, and says how to go on."""

import signal
import time

import jax
import numpy as np
import pytest
from faults import training

from rotdis import run_folder

pytest.importorskip("igl")
TRIES = 6
_LIMIT = 30.0  # seconds, on a machine that does other things besides


@pytest.mark.slow
def test_a_run_told_to_stop_saves_and_goes_on_to_the_same_end(tmp_path, record_fault):
    data_dir, log = tmp_path / "data", tmp_path / "log"
    expected, workdir = tmp_path / "expected", tmp_path / "run"
    training.finish(training.command(expected, data_dir), log)
    seconds = training.finish(training.command(tmp_path / "again", data_dir), log)
    random, waits = training.generator(), []
    for number in range(TRIES):
        log.unlink()
        process = training.start(training.command(workdir, data_dir), log)
        time.sleep(random.uniform(0.1, 0.9) * seconds)
        if process.poll() is not None:
            break
        signalled, began = (signal.SIGTERM, signal.SIGINT)[number % 2], time.monotonic()
        process.send_signal(signalled)
        status = process.wait(120)
        waits.append(time.monotonic() - began)
        text = log.read_text()
        if status == -signalled:  # it came before Python could serve it: nothing was begun
            assert "train " not in text
            continue
        assert status == 128 + signalled and "Traceback" not in text, text[-3000:]
        last = text.strip().splitlines()[-1]
        assert f"stopped by {signalled.name}" in last and "the same command goes on" in last, last
        if "which is saved" in last:
            done = int(last.partition("after step ")[2].partition(",")[0])
            assert max(run_folder.checkpoints(workdir)) == done
    training.finish(training.command(workdir, data_dir), log)
    assert waits and max(waits) < _LIMIT, waits
    states = [training.final_state(run) for run in (workdir, expected)]
    jax.tree.map(np.testing.assert_array_equal, *states)
    record_fault(
        "SIGTERM or Ctrl-C at a random moment", len(waits),
        f"saved or nothing to save, ended in {max(waits):.1f} s at most; end bit-identical",
    )  # fmt: skip
