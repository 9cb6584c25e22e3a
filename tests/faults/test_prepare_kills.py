"""A preparation that is killed goes on where it stood, and leaves no worker behind."""

import sys
import time
from pathlib import Path

import pytest
from faults import training

pytest.importorskip("igl")
KILLS = 10
_SCRIPT = """
if __name__ == "__main__":
    import sys
    from configs.smoke import get_config
    from rotdis.data import prepare
    config = get_config().data
    config.dir, config.num_train, config.num_test, config.workers = sys.argv[1], 3000, 100, 2
    prepare.prepare(config)
"""


def _files(folder):
    (prepared,) = folder.iterdir()
    return {path.name: path.read_bytes() for path in prepared.glob("*.npz")}


def _processes(marker):
    """Returns the processes whose environment holds a marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it ended meanwhile, or is another user's
            pass
    return found


@pytest.mark.slow
def test_a_preparation_killed_at_random_moments_ends_the_same(tmp_path, record_fault):
    if not Path("/proc/self/environ").exists():
        pytest.skip("the workers are found by /proc")
    script = tmp_path / "prepare_some.py"
    script.write_text(_SCRIPT)
    log, marker = tmp_path / "log", f"ROTDIS_TEST={tmp_path}"
    environment = dict([marker.split("=", 1)], PYTHONPATH=str(training.ROOT))

    def command(folder):
        return [sys.executable, str(script), str(folder)]

    seconds = training.finish(command(tmp_path / "expected"), log, **environment)
    random, folder = training.generator(), tmp_path / "killed"
    kills = 0
    for _ in range(KILLS):
        process = training.start(command(folder), log, **environment)
        time.sleep(random.uniform(0.1, 0.25) * seconds)
        if process.poll() is None:
            process.kill()  # alone: its workers are to notice
            kills += 1
        process.wait()
        deadline = time.monotonic() + 30
        while _processes(marker) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not _processes(marker), "workers outlive the process that started them"
    training.finish(command(folder), log, **environment)
    assert _files(folder) == _files(tmp_path / "expected") and kills
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    record_fault("SIGKILL while data are prepared", kills, "same bytes; no worker left")
