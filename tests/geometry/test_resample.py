"""Laws of the resampling: its conventions, exactness and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.ndimage import map_coordinates

from rotdis.geometry import resample, so3

SIZES = [1, 2, 7, 8]


def _volume(size, channels=2, seed=0):
    return jax.random.normal(jax.random.key(seed), (size, size, size, channels))


def _oracle(volume, rotation):
    size = volume.shape[0]
    axis = jnp.arange(size) - (size - 1) / 2
    points = jnp.stack(jnp.meshgrid(axis, axis, axis, indexing="ij"))
    samples = jnp.einsum("ij,i...->j...", rotation, points, precision="highest") + (size - 1) / 2
    read = [
        map_coordinates(volume[..., c], samples, order=1, mode="constant")
        for c in range(volume.shape[3])
    ]
    return jnp.stack(read, -1)


@pytest.mark.parametrize("size", SIZES)
def test_the_identity_is_exact(size):
    volume = _volume(size)
    assert np.array_equal(resample.rotate(volume, jnp.eye(3)), volume)


@pytest.mark.parametrize("size", SIZES)
def test_the_cube_rotations_are_exact_permutations_despite_rounding(size):
    volume = _volume(size)
    copies = resample.cube_copies(jnp.moveaxis(volume, -1, 0))
    noise = np.random.default_rng(0).uniform(-4e-7, 4e-7, (24, 3, 3))
    for index, rotation in enumerate(so3.cube_group()):
        turned = resample.rotate(volume, jnp.asarray(rotation.T + noise[index], jnp.float32))
        assert np.array_equal(jnp.moveaxis(turned, -1, 0), copies[:, index])
        assert np.array_equal(np.sort(turned, axis=None), np.sort(volume, axis=None))


def test_a_quarter_turn_about_z_moves_plus_x_to_plus_y():
    volume = jnp.zeros((5, 5, 5, 1)).at[4, 2, 2, 0].set(1.0)
    quarter = so3.from_rotation_vector(jnp.array([0, 0, jnp.pi / 2]))
    turned = np.asarray(resample.rotate(volume, quarter))[..., 0]
    assert turned[2, 4, 2] == 1.0 and turned.sum() == 1.0


@pytest.mark.parametrize("size", [2, 7, 8, 16])
def test_rotation_agrees_with_map_coordinates_at_the_border_too(size):
    volume = _volume(size)
    for rotation in so3.random_uniform(jax.random.key(1), (4,)):
        assert np.abs(resample.rotate(volume, rotation) - _oracle(volume, rotation)).max() < 1e-5


def _smooth_ball(size):
    axis = np.arange(size) - (size - 1) / 2
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    shape = np.exp(-((x - 2) ** 2 + 2 * (y + 1) ** 2 + 0.5 * z**2) / 20)
    return jnp.asarray(shape[..., None], jnp.float32)


def test_two_rotations_compose_up_to_interpolation():
    volume = _smooth_ball(24)
    first, second = so3.random_uniform(jax.random.key(2), (2,))
    twice = resample.rotate(resample.rotate(volume, first), second)
    assert np.abs(twice - resample.rotate(volume, second @ first)).max() < 0.06


def test_rotating_back_restores_the_volume():
    volume = _smooth_ball(24)
    rotation = so3.random_uniform(jax.random.key(3))
    back = resample.rotate(resample.rotate(volume, rotation), rotation.T)
    assert np.abs(back - volume).max() < 0.06
    assert np.abs(resample.rotate(volume, rotation) - volume).max() > 0.3


def test_gradients_agree_with_the_oracle():
    volume, weight = _volume(9), _volume(9, seed=4)
    for rotation in so3.random_uniform(jax.random.key(5), (3,)):
        ours, theirs = (
            jax.grad(lambda v, r, f=f: jnp.sum(f(v, r) * weight), (0, 1))(volume, rotation)
            for f in (resample.rotate, _oracle)
        )
        assert np.allclose(ours[0], theirs[0], atol=1e-4)
        assert np.allclose(ours[1], theirs[1], rtol=1e-4, atol=1e-3)


def test_the_backward_pass_is_the_adjoint():
    volume, weight = _volume(8), _volume(8, seed=6)
    for rotation in so3.random_uniform(jax.random.key(7), (3,)):
        turned, transpose = jax.vjp(lambda v, r=rotation: resample.rotate(v, r), volume)
        left, right = jnp.vdot(turned, weight), jnp.vdot(volume, transpose(weight)[0])
        assert abs(left - right) < 1e-5 * jnp.linalg.norm(volume) * jnp.linalg.norm(weight)


def test_bfloat16_features_are_sampled_at_float32_coordinates():
    volume, rotation = _volume(16), so3.random_uniform(jax.random.key(8))
    half = volume.astype(jnp.bfloat16)
    turned = resample.rotate(half, rotation)
    assert turned.dtype == jnp.bfloat16
    exact = resample.rotate(half.astype(jnp.float32), rotation)
    assert np.allclose(turned.astype(jnp.float32), exact, rtol=2**-8, atol=2**-8)


def test_it_runs_under_vmap_jit_and_remat():
    volume = jnp.stack([_volume(6, seed=seed) for seed in range(3)])
    rotation = so3.random_uniform(jax.random.key(9), (3,))
    batched = jax.jit(jax.vmap(jax.checkpoint(resample.rotate)))(volume, rotation)
    singles = jnp.stack([resample.rotate(v, r) for v, r in zip(volume, rotation, strict=True)])
    assert np.allclose(batched, singles, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4, 4), (4, 4, 3, 1)])
def test_a_volume_that_is_not_one_cubic_grid_is_refused(shape):
    with pytest.raises(ValueError, match="vmap"):
        resample.rotate(jnp.zeros(shape), jnp.eye(3))
