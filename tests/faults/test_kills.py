"""A run that is killed, wherever it stood, ends as if it had never been."""

import functools
import os
import time

import pytest
from faults import stand_in, training

from rotdis import run_folder

pytest.importorskip("igl")
KILLS = int(os.environ.get("ROTDIS_FAULT_KILLS", 10))


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
    random, workdir, log = training.generator(), tmp_path / "0", tmp_path / "log"
    kills, runs = 0, 1
    while kills < KILLS:
        process = training.start(training.command(workdir, data_dir), log)
        deadline = time.monotonic() + random.uniform(0, seconds)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is not None:
            assert process.returncode == 0, log.read_text()[-3000:]
            training.assert_same_run(workdir, expected)
            workdir, runs = tmp_path / str(runs), runs + 1
            continue
        process.kill()
        process.wait()
        kills += 1
    training.finish(training.command(workdir, data_dir), log)
    training.assert_same_run(workdir, expected)
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    record_fault(f"SIGKILL at a random moment of a run ({runs} runs)", kills, "ends bit-identical")


def _killed_while_it_saves(start, workdir, random):
    """Starts, and kills up to 60 ms after one of the next half-written checkpoints is seen."""
    process = start()
    skipped, seen = random.randint(0, 3), set()
    try:
        while len(seen) <= skipped and process.poll() is None:
            seen.update(path.name for path in (workdir / "checkpoints").glob("*-tmp*"))
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.06))
        return process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_checkpoints_and_logs_survive_kills_at_any_moment_of_a_save(tmp_path, record_fault):
    expected, workdir, log = tmp_path / "expected", tmp_path / "run", tmp_path / "log"
    training.finish(training.stand_in(expected), log)
    random, kills, template = training.generator(), 0, stand_in.state()
    while kills < KILLS:
        start = functools.partial(training.start, training.stand_in(workdir), log)
        kills += _killed_while_it_saves(start, workdir, random)
        steps = run_folder.checkpoints(workdir)
        if steps:  # what is there is whole
            assert int(training.final_state(workdir, template).step) == max(steps)
    training.finish(training.stand_in(workdir), log)
    training.assert_same_run(workdir, expected, template)
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    assert kills >= KILLS
    record_fault(
        "SIGKILL while a checkpoint is written (stand-in for the model)", kills,
        "each time the newest restored; end bit-identical",
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_killed_while_it_saves_ends_bit_identical(
    undisturbed, data_dir, tmp_path, record_fault
):
    expected, _ = undisturbed
    random, workdir, log = training.generator(), tmp_path / "run", tmp_path / "log"
    start = functools.partial(training.start, training.command(workdir, data_dir), log)
    kills = sum(_killed_while_it_saves(start, workdir, random) for _ in range(KILLS))
    training.finish(training.command(workdir, data_dir), log)
    training.assert_same_run(workdir, expected)
    assert "Traceback" not in log.read_text() and kills
    record_fault("SIGKILL while a checkpoint is written", kills, "end bit-identical")
