"""Worker processes end with what they work for: when it is done, stops, fails or is killed."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rotdis import mesh_batches, worker_pool
from rotdis.errors import DataError

_SCRIPT = """
import sys, time
from pathlib import Path
from rotdis import mesh_batches
if __name__ == "__main__":
    paths = [Path(sys.argv[1])] * 64
    account = mesh_batches.Account(["a.off"] * 64)
    for _ in mesh_batches.voxelize_files(paths, account.names, 8, 1, account, workers=2):
        print("reading", flush=True)
        time.sleep(600)
"""


def _leave_a_mark(folder, number):
    (folder / str(number)).touch()
    time.sleep(0.1)
    return number


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_are_those_of_the_jobs_in_order(tmp_path):
    with worker_pool.started(2, "") as submit:
        futures = [submit(_leave_a_mark, tmp_path, number) for number in range(4)]
        assert [future.result() for future in futures] == [0, 1, 2, 3]


def test_leaving_stops_the_workers_soon_and_in_good_order(tmp_path):
    with pytest.raises(KeyboardInterrupt), worker_pool.started(2, "") as submit:
        futures = [submit(_leave_a_mark, tmp_path, number) for number in range(100)]
        futures[0].result()
        workers = multiprocessing.active_children()
        assert len(workers) == 2
        raise KeyboardInterrupt
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(list(tmp_path.iterdir())) < 20


def _wait_until_stopped():
    while not worker_pool.stopping():
        time.sleep(0.01)


def test_a_worker_is_told_that_its_parent_wants_no_more_of_it():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), worker_pool.started(1, "") as submit:
        future = submit(_wait_until_stopped)
        while not future.running():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert future.result() is None
    assert time.monotonic() - start < 60


def test_a_killed_worker_is_explained():
    with (
        pytest.raises(DataError, match="that digs was killed, .*; do this$"),
        worker_pool.started(1, "digs", "; do this") as submit,
    ):
        submit(_die).result()


def test_meshes_are_read_no_farther_ahead_than_their_voxels_may_be_kept(tmp_path, monkeypatch):
    """Of all of a large folder they would fill the memory."""
    monkeypatch.setattr(mesh_batches, "_AHEAD", 2)
    monkeypatch.setattr(mesh_batches, "_voxelized", _leave_a_mark)
    results = mesh_batches._results([(tmp_path, number) for number in range(30)], 2)
    assert next(results) == 0
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) <= 5
    assert list(results) == list(range(1, 30))


def test_only_a_worker_that_is_told_so_is_stopping(monkeypatch):
    assert not worker_pool.stopping()
    monkeypatch.setattr(worker_pool, "_stopping", ctypes.c_byte(0))
    assert not worker_pool.stopping()
    monkeypatch.setattr(worker_pool, "_stopping", ctypes.c_byte(1))
    assert worker_pool.stopping()


def test_a_worker_that_is_to_stop_begins_no_other_mesh(monkeypatch):
    monkeypatch.setattr(worker_pool, "_stopping", ctypes.c_byte(1))
    monkeypatch.setattr(mesh_batches.meshes, "load_mesh", None)  # calling it would be a reason
    assert mesh_batches._voxelized("a.off", "a.off", 16, 1) == "stopped"


def test_workers_that_read_meshes_end_when_their_parent_is_killed(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    pytest.importorskip("igl")
    trimesh.creation.box().export(tmp_path / "a.off")
    (tmp_path / "script.py").write_text(_SCRIPT)
    root = str(Path(worker_pool.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "a.off")],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout.readline() == "reading\n"
            process.kill()
            process.communicate(timeout=60)  # until none holds the other end, which all inherit
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
