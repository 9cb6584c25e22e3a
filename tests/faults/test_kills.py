"""A run that is killed, wherever it stood, ends as if it had never been."""

import os
import signal
import time

import pytest
from faults import training

pytest.importorskip("igl")
KILLS = 10


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def undisturbed(data_dir, tmp_path_factory):
    """A run that nothing happened to, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    command = training.command(folder / "run", data_dir)
    training.finish(command, folder / "log")  # fills the caches
    again = training.command(folder / "again", data_dir)
    seconds = training.finish(again, folder / "log")
    training.assert_same_run(folder / "again", folder / "run")
    return folder / "run", seconds


@pytest.mark.slow
def test_the_same_command_on_the_same_machine_gives_the_same_bits_twice(undisturbed, record_fault):
    record_fault("none: the same command twice", 2, "bit-identical parameters, metrics, events")


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_bit_identical(
    undisturbed, data_dir, tmp_path, record_fault
):
    expected, seconds = undisturbed
    random, workdir, log = training.generator(), tmp_path / "run", tmp_path / "log"
    kills = 0
    while kills < KILLS:
        process = training.start(training.command(workdir, data_dir), log)
        deadline = time.monotonic() + random.uniform(0, seconds)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is not None:
            assert process.returncode == 0, log.read_text()[-3000:]
            break  # it was done before: the kills before count
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    training.finish(training.command(workdir, data_dir), log)
    training.assert_same_run(workdir, expected)
    assert "Traceback" not in log.read_text() and kills
    record_fault("SIGKILL at a random moment of a run", kills, "end bit-identical")


@pytest.mark.slow
def test_a_run_killed_while_it_saves_ends_bit_identical(
    undisturbed, data_dir, tmp_path, record_fault
):
    """Each kill comes up to 60 ms after the first sight of a half-written checkpoint."""
    expected, _ = undisturbed
    random, workdir, log = training.generator(), tmp_path / "run", tmp_path / "log"
    for _ in range(KILLS):
        process = training.start(training.command(workdir, data_dir), log)
        skipped, seen = random.randint(0, 1), set()
        while len(seen) <= skipped:
            assert process.poll() is None, log.read_text()[-3000:]
            seen.update(path.name for path in (workdir / "checkpoints").glob("*-tmp*"))
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.06))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    training.finish(training.command(workdir, data_dir), log)
    training.assert_same_run(workdir, expected)
    assert "Traceback" not in log.read_text()
    record_fault("SIGKILL while a checkpoint is written", KILLS, "end bit-identical")
