"""Damage to a checkpoint, anywhere, is found and named, or it does not matter."""

import collections
import os
import shutil

import jax
import numpy as np
import pytest
from faults import training
from tiny import tiny_config

from rotdis import checkpoint, run_folder, step, train
from rotdis.errors import CheckpointError
from rotdis.models import rotation_vae

FLIPS = int(os.environ.get("ROTDIS_FAULT_FLIPS", 200))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A state, and a workdir that holds it at step 2, beside an earlier one."""
    config = tiny_config()
    state = step.init_state(rotation_vae.create(config), config)
    workdir = tmp_path_factory.mktemp("saved")
    run_folder.save_config(workdir, config)
    checkpoints = checkpoint.Checkpoints(workdir)
    for number, iou in ((1, 0.7), (2, 0.5)):
        checkpoints.save(state.replace(step=state.step + number), {checkpoint.BEST_METRIC: iou})
    checkpoints.close()
    return state.replace(step=state.step + 2), workdir


def _outcome(state, workdir):
    """Returns "named", or "as saved" where the damage does not matter; all else fails."""
    try:
        config = run_folder.load_config(workdir)
        checkpoints = checkpoint.Checkpoints(workdir, read_only=True)
        restored = checkpoints.restore(state, train.make_mesh(config.train.batch_size))
        assert checkpoints.best_step() == 1
        checkpoints.close()
    except CheckpointError as error:
        assert str(workdir) in str(error) and "\n" not in str(error)
        return "named"
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    return "as saved"


def _files(workdir):
    paths = [workdir / "config.json", *(workdir / "checkpoints" / "2").rglob("*")]
    return [path for path in paths if path.is_file()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault, change",
    [
        ("missing file", None),
        ("file cut short", lambda data, random: data[: random.randrange(len(data))]),
        ("file full of zeros", lambda data, random: bytes(len(data))),
    ],
)
def test_each_file_of_a_checkpoint_may_be_damaged(saved, tmp_path, record_fault, fault, change):
    state, workdir = saved
    random, outcomes = training.generator(), collections.Counter()
    for number, original in enumerate(_files(workdir)):
        copy = shutil.copytree(workdir, tmp_path / str(number))
        path = copy / original.relative_to(workdir)
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(path.read_bytes(), random))
        outcomes[_outcome(state, copy)] += 1
        shutil.rmtree(copy)
    assert outcomes["named"] >= 10
    record_fault(
        f"checkpoint: {fault}", sum(outcomes.values()),
        f"{outcomes['named']} named; {outcomes['as saved']} did not matter, restored as saved",
    )  # fmt: skip


@pytest.mark.slow
def test_any_bit_of_a_checkpoint_may_flip(saved, record_fault):
    state, workdir = saved
    random, outcomes = training.generator(), collections.Counter()
    files = _files(workdir)
    sizes = [path.stat().st_size for path in files]
    for number in range(FLIPS):
        # Half of them by file, so that small ones have their share, half of them by byte.
        path = random.choice(files) if number % 2 else random.choices(files, sizes)[0]
        data = path.read_bytes()
        flipped, place = bytearray(data), random.randrange(len(data))
        flipped[place] ^= 1 << random.randrange(8)
        path.write_bytes(flipped)
        try:
            outcomes[_outcome(state, workdir)] += 1
        finally:
            path.write_bytes(data)
    assert outcomes["named"] > FLIPS // 2
    assert _outcome(state, workdir) == "as saved"
    record_fault(
        "checkpoint: one bit flipped", FLIPS,
        f"{outcomes['named']} named; {outcomes['as saved']} did not matter, restored as saved",
    )  # fmt: skip
