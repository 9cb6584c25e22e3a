"""A disk that is full, or cannot be written: the run says so, and goes on where there is room."""

import os
import subprocess

import pytest
from faults import stand_in, training

from rotdis import run_folder

pytest.importorskip("igl")
pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path):
    """A disk of 64 MB of its own; skips where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _refuses(command, log, words):
    log.unlink(missing_ok=True)
    training.finish(command, log, status=1)
    (line,) = [line for line in log.read_text().splitlines() if line.startswith("rotdis: ")]
    assert words in line and "Traceback" not in log.read_text(), log.read_text()[-3000:]
    return line


def test_a_full_disk_is_named_and_the_checkpoint_before_it_goes_on(disk, tmp_path, record_fault):
    log, expected, workdir = tmp_path / "log", tmp_path / "expected", disk / "run"
    training.finish(training.stand_in(expected), log)
    command, template = training.stand_in(workdir), stand_in.state()
    # A checkpoint takes 7 MB: room for two, for most of one, for less, for nothing at all.
    rooms = (20_000_000, 6_000_000, 3_000_000, 100_000, 0)
    for room in rooms:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        with (disk / "filler").open("wb") as filler:
            filler.write(b"x" * max(0, free - room))
        before = max(run_folder.checkpoints(workdir), default=0)
        line = _refuses(command, log, "No space left on device")
        print(room, line)
        assert str(disk) in line
        kept = run_folder.checkpoints(workdir)
        assert max(kept, default=0) >= before
        if kept:
            assert int(training.final_state(workdir, template).step) == max(kept)
        (disk / "filler").unlink()
    training.finish(command, log)
    training.assert_same_run(workdir, expected, template)
    record_fault("full disk", len(rooms), "named; checkpoint before it good; end bit-identical")


def test_a_disk_that_cannot_be_written_is_named_and_its_run_still_read(
    disk, tmp_path, record_fault
):
    data_dir, log, workdir = tmp_path / "data", tmp_path / "log", disk / "run"
    short = training.command(
        workdir, data_dir, "--config.train.steps=10", "--config.data.num_test=20"
    )
    training.finish(short, log)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    evaluate = [*short[:3], "--mode=evaluate", f"--workdir={workdir}"]
    longer = [*short, "--config.train.steps=20"]
    for command in (longer, evaluate, training.command(disk / "new", data_dir)):
        line = _refuses(command, log, "Read-only file system")
        assert str(disk) in line
    assert int(training.final_state(workdir).step) == 10
    record_fault("read-only disk", 3, "named in one line; what is there is restored")
