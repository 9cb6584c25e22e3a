"""SIGTERM and Ctrl-C: the run is saved within seconds, and says how to go on."""

import signal
import time

import pytest
from faults import stand_in, training

from rotdis import run_folder

TRIES = 6
_LIMIT = 30.0  # seconds, on a machine that does other things besides


@pytest.mark.slow
def test_a_run_told_to_stop_saves_and_goes_on_to_the_same_end(tmp_path, record_fault):
    log, expected, workdir = tmp_path / "log", tmp_path / "expected", tmp_path / "run"
    seconds = training.finish(training.stand_in(expected), log)
    random, waits, command = training.generator(), [], training.stand_in(workdir)
    runs = 1
    while len(waits) < TRIES:
        log.unlink()
        process = training.start(command, log)
        time.sleep(random.uniform(0.05, 0.6) * seconds)
        if process.poll() is not None:  # a run that came to its end before: another one
            training.assert_same_run(workdir, expected, stand_in.state())
            workdir, runs = tmp_path / f"run_{runs}", runs + 1
            command = training.stand_in(workdir)
            continue
        signalled, began = (signal.SIGTERM, signal.SIGINT)[len(waits) % 2], time.monotonic()
        process.send_signal(signalled)
        status = process.wait(120)
        waits.append(time.monotonic() - began)
        text = log.read_text()
        if status == -signalled:  # before Python could serve it, or after the end
            assert "train " not in text or "nothing to evaluate" in text, text[-3000:]
            continue
        assert status == 128 + signalled and "Traceback" not in text, text[-3000:]
        last = text.strip().splitlines()[-1]
        assert f"stopped by {signalled.name}" in last and "the same command goes on" in last, last
        if "which is saved" in last:
            done = int(last.partition("after step ")[2].partition(",")[0])
            assert max(run_folder.checkpoints(workdir)) == done
    training.finish(command, log)
    assert max(waits) < _LIMIT, waits
    training.assert_same_run(workdir, expected, stand_in.state())
    record_fault(
        "SIGTERM or Ctrl-C at a random moment", len(waits),
        f"saved or nothing to save, ended in {max(waits):.1f} s at most; end bit-identical",
    )  # fmt: skip
