"""Laws of checkpoints: what is saved comes back, the newest stays, another run is refused."""

import errno
import os
import shutil

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from tiny import tiny_config

from rotdis import checkpoint, inference, intact, run_folder, step
from rotdis.errors import CheckpointError
from rotdis.models import rotation_vae


@pytest.fixture(scope="module")
def state():
    config = tiny_config()
    return step.init_state(rotation_vae.create(config), config)


def _mesh(count):
    return jax.make_mesh(
        (count,), (step.AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )


def _at(state, number):
    return state.replace(
        step=state.step + number, params=jax.tree.map(lambda leaf: leaf + number, state.params)
    )


@pytest.mark.parametrize("count, alike", [(1, None), (8, None), (1, np.eye(3, dtype=np.float32))])
def test_a_state_is_restored_bit_for_bit_on_any_number_of_devices(state, tmp_path, count, alike):
    state = state.replace(alike=alike)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(_at(state, 3))
    checkpoints.wait()
    restored = checkpoints.restore(state, _mesh(count))
    for ours, expected in zip(
        jax.tree.leaves(restored), jax.tree.leaves(_at(state, 3)), strict=True
    ):
        assert np.array_equal(ours, expected)
        assert len(ours.sharding.device_set) == count
    checkpoints.close()
    # What a state has not got leaves no trace: checkpoints from before there was such a field.
    written = (tmp_path / "checkpoints" / "3" / "default" / "_METADATA").read_text()
    assert ("alike" in written) == (alike is not None)


def test_the_newest_and_the_best_are_kept(state, tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path, keep_best=1)
    for number, iou in ((1, 0.2), (2, 0.7), (3, None), (4, 0.5), (5, None)):
        checkpoints.save(_at(state, number), None if iou is None else {checkpoint.BEST_METRIC: iou})
        checkpoints.wait()
    assert (checkpoints.latest_step(), checkpoints.best_step()) == (5, 2)
    kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.name.isdigit()}
    assert kept == {2, 5}
    checkpoints.close()


def test_without_an_evaluation_the_newest_is_the_best(state, tmp_path):
    checkpoints = checkpoint.Checkpoints(tmp_path)
    assert checkpoints.latest_step() is None
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoints.restore(state, _mesh(1))
    checkpoints.save(_at(state, 4))
    checkpoints.wait()
    assert checkpoints.best_step() == 4
    checkpoints.close()


@pytest.fixture(scope="module")
def saved(state, tmp_path_factory):
    """A workdir with the best checkpoint at step 1 and the newest at step 2."""
    workdir = tmp_path_factory.mktemp("saved")
    run_folder.save_config(workdir, tiny_config())
    checkpoints = checkpoint.Checkpoints(workdir)
    for number, iou in ((1, 0.7), (2, 0.5)):
        checkpoints.save(_at(state, number), {checkpoint.BEST_METRIC: iou})
    checkpoints.close()
    return workdir


def test_every_checkpoint_has_a_copy_of_the_configuration(saved):
    for number in ("1", "2"):
        copy = saved / "checkpoints" / number / run_folder.CONFIG
        assert copy.read_bytes() == (saved / run_folder.CONFIG).read_bytes()


def _restore(workdir, state, step=None):
    checkpoints = checkpoint.Checkpoints(workdir, read_only=True)
    try:
        return checkpoints.restore(state, _mesh(1), step)
    finally:
        checkpoints.close()


def _damage(path, how):
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    else:
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])


@pytest.mark.parametrize("how", ["missing", "truncated", "flipped"])
def test_a_damaged_checkpoint_is_named_and_the_one_to_go_on_from(state, saved, tmp_path, how):
    workdir = shutil.copytree(saved, tmp_path / "run")
    path = max(
        (workdir / "checkpoints" / "2" / "default").rglob("d/*"), key=lambda p: p.stat().st_size
    )
    _damage(path, how)
    with pytest.raises(CheckpointError, match="checkpoints/2: is damaged .*delete.* from step 1,"):
        _restore(workdir, state)
    shutil.rmtree(workdir / "checkpoints" / "2")
    assert int(_restore(workdir, state).step) == 1
    _damage(workdir / "checkpoints" / "1" / "metrics" / "metrics", how)
    with pytest.raises(CheckpointError, match="1: is damaged .*metrics.* no other .*begin anew"):
        _restore(workdir, state)


def test_one_that_is_replaced_while_it_is_read_is_not_said_to_be_damaged(state, saved, tmp_path):
    workdir = shutil.copytree(saved, tmp_path / "run")
    checkpoints = checkpoint.Checkpoints(workdir, read_only=True)
    step = checkpoints.latest_step()
    shutil.rmtree(run_folder.checkpoints(workdir)[step])
    with pytest.raises(CheckpointError, match=f"{step}: is not there, or was replaced"):
        checkpoints.restore(state, _mesh(1), step)
    checkpoints.close()


def test_a_checkpoint_of_another_version_is_not_said_to_be_damaged(state, saved):
    count = len(state.frames)
    told = (
        rf"another version .*: frames is \({count}, 3, 3\), .* \({count - 1}, 3, 3\) now; .*from="
    )
    with pytest.raises(CheckpointError, match=told):
        _restore(saved, state.replace(frames=state.frames[:-1]))
    with pytest.raises(CheckpointError, match=rf"alike is missing, and would be \({count}, 2\)"):
        _restore(saved, state.replace(alike=np.zeros((count, 2))))


def test_a_run_is_loaded_though_the_rest_of_its_state_has_other_shapes_now(state, tmp_path):
    run_folder.save_config(tmp_path, tiny_config())
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(_at(state.replace(frames=state.frames[:-1], alike=np.ones((5, 2))), 2))
    checkpoints.close()
    _, params, number = inference.restore(tmp_path)
    assert number == 2
    jax.tree.map(np.testing.assert_array_equal, params, state.ema_params)


def test_a_checkpoint_of_before_there_were_checksums_is_restored(state, saved, tmp_path):
    workdir = shutil.copytree(saved, tmp_path / "run")
    (workdir / "checkpoints" / "2" / intact.NAME).unlink()
    assert int(_restore(workdir, state).step) == 2


def test_half_a_checkpoint_that_a_kill_left_is_cleared_away(state, saved, tmp_path):
    workdir = shutil.copytree(saved, tmp_path / "run")
    written = workdir / "checkpoints" / "3.orbax-checkpoint-tmp"
    deleted = workdir / "checkpoints" / "deleted" / "1"
    for half in (written, deleted):
        shutil.copytree(workdir / "checkpoints" / "1", half)
    assert int(_restore(workdir, state).step) == 2  # which leaves everything as it is
    assert written.exists() and deleted.exists()
    checkpoints = checkpoint.Checkpoints(workdir)
    checkpoints.save(_at(state, 3), {checkpoint.BEST_METRIC: 0.9})
    checkpoints.close()
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["3"]


def test_a_save_that_fails_is_named_and_the_checkpoint_before_it_kept(
    state, saved, tmp_path, monkeypatch, capsys
):
    workdir = shutil.copytree(saved, tmp_path / "run")

    def full(folder, besides):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(intact, "seal", full)
    checkpoints = checkpoint.Checkpoints(workdir)
    checkpoints.save(_at(state, 3))
    with pytest.raises(CheckpointError, match="step 3 cannot .*No space left.* step 2 is kept"):
        checkpoints.close()
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["1", "2"]
    assert int(_restore(workdir, state).step) == 2
    assert not capsys.readouterr().err
