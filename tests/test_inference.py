"""Laws of a model in use: any batch size, NumPy in and out, and the conventions of its rotation."""

import jax
import numpy as np
import pytest
from tiny import tiny_config

import rotdis
from rotdis import checkpoint, generate, inference, run_folder, step
from rotdis.errors import CheckpointError
from rotdis.geometry import resample
from rotdis.inference import BATCH, Model
from rotdis.models import rotation_vae

_rotate = jax.jit(jax.vmap(resample.rotate))


@pytest.fixture(scope="module")
def state():
    config = tiny_config()
    return step.init_state(rotation_vae.create(config), config)


@pytest.fixture(scope="module")
def model(state):
    return Model(tiny_config(), state.params)


def _objects(count):
    return (np.random.default_rng(0).uniform(size=(count, 16, 16, 16)) > 0.7).astype(np.float32)


@pytest.mark.parametrize("count", [0, 3, BATCH + 1])
def test_any_batch_size_gives_each_object_its_own_result(model, count):
    voxels = _objects(BATCH + 1)
    whole, part = model.encode(voxels), model.encode(voxels[:count])
    assert part.z_mean.shape == (count, model.latent_size)
    assert part.rotation.shape == (count, 3, 3)
    assert np.allclose(part.z_mean, whole.z_mean[:count], atol=1e-5)
    probabilities = model.decode(part.z_mean, part.rotation)
    assert isinstance(probabilities, np.ndarray)
    assert probabilities.shape == model.canonicalize(voxels[:count]).shape == (count, 16, 16, 16)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    if not count:
        return
    assert np.allclose(part.rotation, whole.rotation[:count], atol=1e-5)
    of_whole = model.decode(whole.z_mean, whole.rotation)[:count]
    assert np.allclose(probabilities, of_whole, atol=1e-5)
    alone = model.decode(part.z_mean[-1:], part.rotation[-1:])
    assert np.allclose(alone[0], probabilities[-1], atol=1e-5)
    # x = rotate(c, R)
    back = _rotate(voxels[:count, ..., None], np.swapaxes(part.rotation, 1, 2))
    assert np.allclose(model.canonicalize(voxels[:count]), back[..., 0], atol=1e-5)


def test_sizes_share_a_few_compilations_and_so_do_models_of_one_configuration(model):
    before = inference._encode._cache_size()
    for count in range(1, 12):
        model.encode(_objects(count))
    known = inference._encode._cache_size()
    assert known - before <= 6  # 1, 2, 4, 8, 16, 32
    other = jax.tree.map(lambda leaf: -leaf, model.params)
    one, two = (Model(model.config, each).encode(_objects(5)) for each in (other, model.params))
    assert inference._encode._cache_size() == known
    assert not np.allclose(one.z_mean, two.z_mean)
    assert np.array_equal(two.z_mean, model.encode(_objects(5)).z_mean)


@pytest.mark.parametrize("shape", [(16, 16, 16), (1, 8, 8, 8), (1, 16, 16, 16, 1)])
def test_a_grid_of_another_shape_is_refused_with_what_to_do(model, shape):
    with pytest.raises(ValueError, match="rotdis.normalize"):
        model.encode(np.zeros(shape))


@pytest.mark.parametrize("change", [lambda v: 255 * v, lambda v: 2 * v - 1, lambda v: v * np.nan])
def test_grids_that_hold_no_occupancies_are_refused(model, change):
    for use in (model.encode, model.canonicalize):
        with pytest.raises(ValueError, match=r"in \[0, 1\].*rotdis.normalize"):
            use(change(_objects(2)))


@pytest.mark.parametrize("factor", [0.0, 2.0, -1.0, np.nan])
def test_matrices_that_are_no_rotations_are_refused(model, factor):
    turns = np.stack([np.eye(3), factor * np.eye(3)])
    with pytest.raises(ValueError, match="1 of 2 are not"):
        model.decode(np.zeros((2, 4)), turns)
    with pytest.raises(ValueError, match="1 of 2 are not"):
        generate.geodesic(turns[0], turns[1], 3)


def test_codes_of_another_size_are_refused(model):
    with pytest.raises(ValueError, match=r"codes \(B, 4\)"):
        model.decode(np.zeros((2, 5)), np.zeros((2, 3, 3)))


def test_a_loaded_model_uses_the_averaged_parameters_of_the_best_checkpoint(state, tmp_path):
    run_folder.save_config(tmp_path, tiny_config())
    checkpoints = checkpoint.Checkpoints(tmp_path)
    for number, iou in ((1, 0.9), (2, 0.1)):
        ema = jax.tree.map(lambda leaf, n=number: leaf + n, state.params)
        saved = state.replace(step=state.step + number, ema_params=ema)
        checkpoints.save(saved, {checkpoint.BEST_METRIC: iou})
    checkpoints.close()
    loaded = rotdis.load(tmp_path)
    assert (loaded.resolution, loaded.latent_size) == (16, 4)
    first, expected = (jax.tree.leaves(tree)[0] for tree in (loaded.params, state.params))
    assert np.allclose(first, np.asarray(expected) + 1)


def test_codes_of_the_prior_are_normal_and_repeat_with_their_seed(model):
    codes = model.sample(2000)
    assert codes.shape == (2000, 4) and codes.dtype == np.float32
    assert np.allclose(codes.mean(0), 0, atol=0.1) and np.allclose(codes.std(0), 1, atol=0.1)
    assert np.array_equal(codes[:3], model.sample(3))
    assert not np.allclose(codes[:3], model.sample(3, seed=1))


def test_a_run_of_before_a_field_existed_is_loaded(state, tmp_path):
    config = tiny_config()
    del config.pose["grid"]
    config.model.latent_size = 4
    run_folder.save_config(tmp_path, config)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(state)
    checkpoints.close()
    assert rotdis.load(tmp_path).config.pose.grid == 16


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere: no such training run"):
        rotdis.load(tmp_path / "nowhere")
