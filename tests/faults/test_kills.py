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


def _killed_often(folder, start, killed, between, finished):
    """Kills until it was done often enough, in as many runs as that takes; returns how many.

    Args:
        folder: of the runs.
        start: starts a run, or one that was killed again, in the workdir given.
        killed: kills a process that runs in a workdir; False where that ended before.
        between: looks at a workdir after a kill.
        finished: looks at a workdir after the end.
    """
    runs, kills = 1, 0
    while kills < KILLS:
        workdir = folder / str(runs)
        process = start(workdir)
        try:
            alive = killed(process, workdir)
        finally:
            process.kill()
        if alive:
            kills += 1
            process.wait()
            between(workdir)
        else:
            assert process.returncode == 0
            finished(workdir)
            runs += 1
    assert start(folder / str(runs)).wait(600) == 0
    finished(folder / str(runs))
    return runs


def _at_a_random_moment(random, seconds, process, workdir):
    deadline = time.monotonic() + random.uniform(0, seconds)
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.poll() is None


def _while_it_saves(random, process, workdir):
    """Waits until up to 60 ms after one of the next half-written checkpoints is seen."""
    skipped, seen = random.randint(0, 3), set()
    while len(seen) <= skipped and process.poll() is None:
        seen.update(path.name for path in (workdir / "checkpoints").glob("*-tmp*"))
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.06))
    return process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["at a random moment", "while a checkpoint is written"])
def test_a_run_killed_ends_bit_identical(moment, undisturbed, data_dir, tmp_path, record_fault):
    expected, seconds = undisturbed
    random, log = training.generator(), tmp_path / "log"
    runs = _killed_often(
        tmp_path,
        start=lambda workdir: training.start(training.command(workdir, data_dir), log),
        killed=functools.partial(_at_a_random_moment, random, seconds)
        if moment == "at a random moment"
        else functools.partial(_while_it_saves, random),
        between=lambda workdir: None,
        finished=lambda workdir: training.assert_same_run(workdir, expected),
    )
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    record_fault(f"SIGKILL {moment}, {runs} runs", KILLS, "each run ends bit-identical")


@pytest.mark.slow
def test_checkpoints_and_logs_survive_kills_at_any_moment_of_a_save(tmp_path, record_fault):
    expected, log = tmp_path / "expected", tmp_path / "log"
    training.finish(training.stand_in(expected), log)
    template = stand_in.state()

    def what_is_there_is_whole(workdir):
        steps = run_folder.checkpoints(workdir)
        assert not steps or int(training.final_state(workdir, template).step) == max(steps)

    runs = _killed_often(
        tmp_path,
        start=lambda workdir: training.start(training.stand_in(workdir), log),
        killed=functools.partial(_while_it_saves, training.generator()),
        between=what_is_there_is_whole,
        finished=lambda workdir: training.assert_same_run(workdir, expected, template),
    )
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    record_fault(
        f"SIGKILL while a checkpoint is written (stand-in for the model), {runs} runs", KILLS,
        "each time the newest restored; each run ends bit-identical",
    )  # fmt: skip
