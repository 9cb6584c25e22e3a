"""Laws of the frames found between steps: repeatable, and used by the steps that follow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synchronize.constructed import PROPORTIONS
from synchronize.constructed import step as step_of
from tiny import tiny_config

from rotdis import frames, losses, step, train
from rotdis.data import order, prepare
from rotdis.geometry import resample, so3
from rotdis.models import rotation_vae
from rotdis.synchronize import fields

pytest.importorskip("igl")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = tiny_config()
    config.data.dir = str(tmp_path_factory.mktemp("data"))
    config.data.num_train, config.data.workers = 60, 1
    config.frames.capacity, config.frames.neighbours = 30, 4
    config.frames.synchronize_at = (0.5,)
    config.loss.tilt_weight = 0.0  # straightening has a test of its own
    split = prepare.prepare(config.data).train
    return config, split, step.init_state(rotation_vae.create(config), config)


def test_frames_are_due_after_the_shares_named_and_for_a_pose_network_alone(run):
    config, split, _ = run
    mesh = train.make_mesh(config.train.batch_size)
    due = [n for n in range(99) if frames.Synchronizer(config, split, mesh).is_due(n)]
    assert due == [config.train.steps // 2]
    long = config.copy_and_resolve_references()
    long.train.steps, long.train.log_every, long.frames.synchronize_at = 400, 20, (0.26, 0.55)
    due_then = [n for n in range(401) if frames.Synchronizer(long, split, mesh).is_due(n)]
    assert due_then == [120, 220]
    long.train.steps = 40  # the second share's line of the log would be the last
    assert frames.due(long) == {20}
    long.frames.synchronize_at = (0.55,)
    assert not frames.due(long)
    for change in ({"pose.method": "none"}, {"frames.synchronize_at": ()}):
        other = config.copy_and_resolve_references()
        other.update_from_flattened_dict(change)
        assert not frames.Synchronizer(other, split, mesh).is_due(due[0])


def test_the_frames_are_rotations_that_the_model_found_up_to_the_cubes_group(run):
    config, split, state = run
    synchronizer = frames.Synchronizer(config, split, train.make_mesh(config.train.batch_size))
    found = np.asarray(synchronizer(state).frames)
    assert np.array_equal(found, np.asarray(synchronizer(state).frames))
    chosen = np.arange(0, len(split), 2)  # 54 to 60 objects, a table of 30 rows
    own, _ = frames.canonical_forms(config, state.params, split, chosen, 0)
    relative = np.einsum("nji,njk->nik", own, found[: len(own)])
    nearest = np.einsum("nij,gij->ng", relative, so3.cube_group()).max(1)
    assert np.allclose(nearest, 3, atol=1e-3)
    assert not found[len(own) :].any()


def test_objects_that_are_alike_get_frames_in_which_they_stand_alike(run, monkeypatch):
    """With x = rotate(c, F) and c the common form turned by S, the common frame is F S."""
    config, split, state = run
    config = config.copy_and_resolve_references()
    config.frames.neighbours = 5
    count = len(PROPORTIONS)
    random = np.random.default_rng(6)
    scramble = so3.cube_group()[random.integers(0, 24, count)]
    forms = fields.turned(fields.solids(np.stack([step_of(s) for s in PROPORTIONS])), scramble)
    own = Rotation.random(count, rng=random).as_matrix().astype(np.float32)
    monkeypatch.setattr(frames, "canonical_forms", lambda *_: (own, forms / 255))
    mesh = train.make_mesh(config.train.batch_size)
    after = frames.Synchronizer(config, split.select(np.arange(count)), mesh)(state)
    found = np.asarray(after.frames)[:count]
    common = np.swapaxes(own @ scramble, 1, 2) @ found
    assert np.allclose(common, common[0], atol=1e-5)


def test_frames_are_the_averages_straight_and_hold_objects_where_they_are(run, monkeypatch):
    config, split, state = run
    config = config.copy_and_resolve_references()
    config.loss.tilt_weight = 1.0
    other = step.init_state(rotation_vae.create(config), _with_seed(config, 9))
    mixed = state.replace(ema_params=other.params)
    asked = {}
    solve = frames.solve.solve

    def solving(*arguments, **options):
        asked.update(options)
        return solve(*arguments, **options)

    monkeypatch.setattr(frames.solve, "solve", solving)
    synchronizer = frames.Synchronizer(config, split, train.make_mesh(config.train.batch_size))
    found = np.asarray(synchronizer(mixed).frames)
    assert asked["inertia"] > 0
    chosen = np.arange(0, len(split), 2)
    own, _ = frames.canonical_forms(config, other.params, split, chosen, 0)
    relative = np.einsum("nji,njk->nik", own, found[: len(own)])
    nearest = np.einsum("nij,gij->ng", relative, so3.cube_group()).max(1)
    assert np.allclose(nearest, 3, atol=1e-3)
    tilted = config.copy_and_resolve_references()
    tilted.loss.tilt_weight = 0.0
    before, _ = frames.canonical_forms(tilted, other.params, split, chosen, 0)
    voxels = jnp.asarray(split.voxels(chosen))
    tilts = [
        jax.vmap(losses.tilt)(rotation_vae.canonicalize(voxels, jnp.asarray(each)))
        for each in (own, before)
    ]
    assert jnp.mean(tilts[0]) < 0.9 * jnp.mean(tilts[1])


def _with_seed(config, seed):
    config = config.copy_and_resolve_references()
    config.seed = seed
    return config


def test_a_step_uses_the_frames_of_the_very_objects_that_it_sees(run, monkeypatch):
    def objective(params, model, config, x, keys, frames, *_):
        nothing = sum(0 * jnp.sum(leaf) for leaf in jax.tree.leaves(params))
        return nothing, {"frame": nothing if frames is None else jnp.sum(frames)}

    monkeypatch.setattr(step, "loss_and_metrics", objective)
    config, split, state = run
    mesh = train.make_mesh(config.train.batch_size)
    model = rotation_vae.create(config)
    take = jax.jit(step.make_train_step(model, config, mesh, len(split)))
    index = order.batch_indices(config.seed, 0, len(split), config.train.batch_size)
    stride = order.frame_stride(len(split), len(state.frames))
    seen = np.zeros((len(state.frames), 1, 1), np.float32)
    seen[index[index % stride == 0] // stride] = 1
    assert 0 < seen.sum() < len(seen)
    terms = []
    for rows in (seen, 1 - seen):
        frames_there = state.replace(frames=jnp.asarray(rows * np.eye(3, dtype=np.float32)))
        terms.append(float(take(frames_there, split.packed[index])[1]["frame"]))
    assert terms[0] > 0 == terms[1]


def test_what_is_alike_is_found_where_the_loss_uses_it(run):
    config, split, _ = run
    config = config.copy_and_resolve_references()
    config.loss.alike_weight = 1.0
    state = step.init_state(rotation_vae.create(config), config)
    assert not state.alike.any()
    found = frames.Synchronizer(config, split, train.make_mesh(config.train.batch_size))(state)
    used = np.asarray(found.frames).any((1, 2))
    assert (np.asarray(found.alike).any(1) == used).all() and used.sum() > 20


def test_how_an_object_is_stored_tells_nothing_of_the_frame_found(run):
    config, split, state = run
    index = np.arange(8)
    one, _ = frames.canonical_forms(config, state.params, split, index, 0)
    two, _ = frames.canonical_forms(config, state.params, split, index, 1)
    # Seen under another rotation, an untrained network finds another frame.
    assert np.rad2deg(np.asarray(so3.geodesic_distance(one, two))).max() > 20


def test_a_frame_is_the_objects_own_however_it_was_turned_to_be_seen(run):
    """Among the cube's rotations the network is exactly equivariant."""
    config, split, _ = run
    config = config.copy_and_resolve_references()
    config.data.rotations, config.pose.second_width = "cube", 0
    params = step.init_state(rotation_vae.create(config), config).params
    index = np.arange(8)
    one, other = (frames.canonical_forms(config, params, split, index, n) for n in range(2))
    assert np.allclose(one[0], other[0], atol=1e-4)
    assert np.allclose(one[1], other[1], atol=1e-4)


def test_the_last_networks_posterior_decides(run):
    config, split, state = run
    config = config.copy_and_resolve_references()
    config.data.rotations = "none"  # so that an object is seen as it is stored
    index = np.arange(8)
    found, _ = frames.canonical_forms(config, state.params, split, index, 0)
    model, x = rotation_vae.create(config), jnp.asarray(split.voxels(index))
    first, last = (
        posterior.mode()
        for posterior in model.apply({"params": state.params}, x, method="posteriors")
    )
    assert np.allclose(found, last, atol=1e-4) and not np.allclose(first, last, atol=0.1)


def test_a_tilted_box_is_straightened():
    box = np.zeros((1, 32, 32, 32), np.float32)
    box[:, 6:26, 10:22, 12:20] = 1
    tilted = so3.from_rotation_vector(jnp.array([[0.2, -0.15, 0.1]]))
    x = jax.jit(resample.rotate)(box[0][..., None], tilted[0])[None, ..., 0]
    found = jax.jit(frames.straighten)(x, jnp.eye(3)[None])
    assert np.rad2deg(so3.geodesic_distance(tilted, found))[0] < 3
    straight = jax.jit(rotation_vae.canonicalize)(x, found)
    tilt = jax.jit(losses.tilt)
    assert tilt(straight[0]) < tilt(x[0])
