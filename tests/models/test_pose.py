"""Laws of the pose network: equivariance under the cube's group, a proper posterior."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.geometry import resample, so3
from rotdis.models import pose
from rotdis.models.pose import PoseNetwork, PosePosterior

NETWORK = PoseNetwork(grid=16, width=8)
_init, _apply = jax.jit(NETWORK.init), jax.jit(NETWORK.apply)


@pytest.fixture(scope="module")
def params():
    params = _init(jax.random.key(0), jnp.zeros((1, 16, 16, 16)))["params"]
    # Larger weights than at the start, so that scores and residuals differ among the hypotheses.
    return jax.tree.map(lambda leaf: leaf * 3, params)


def _objects(count):
    noise = jax.random.uniform(jax.random.key(1), (count, 16, 16, 16))
    return jnp.where(noise > 0.7, 1.0, 0.0)


def test_turning_the_object_by_a_cube_rotation_turns_its_pose_and_nothing_else(params):
    x = _objects(1)
    turn = jax.jit(jax.vmap(resample.rotate, (None, 0)))
    everything = turn(x[0, ..., None], so3.cube_group())[..., 0]
    posterior = _apply({"params": params}, everything)
    best = np.asarray(posterior.mode())
    weights = np.asarray(posterior.log_weights)
    assert np.ptp(weights[0]) > 0.1
    assert np.allclose(best, so3.cube_group() @ best[0], atol=1e-5)
    heaviest = np.asarray(posterior.heaviest())
    assert np.allclose(heaviest, so3.cube_group() @ heaviest[0], atol=1e-5)
    assert np.allclose(np.sort(weights), np.sort(weights[0]), atol=1e-5)


def test_the_weights_are_probabilities_and_the_hypotheses_rotations(params):
    posterior = _apply({"params": params}, _objects(3))
    assert np.allclose(jnp.exp(posterior.log_weights).sum(1), 1, atol=1e-5)
    product = posterior.rotations @ jnp.swapaxes(posterior.rotations, -1, -2)
    assert np.allclose(product, np.eye(3), atol=1e-5)
    assert np.allclose(jnp.linalg.det(posterior.rotations), 1, atol=1e-5)


def test_untrained_hypotheses_lie_near_the_cube_group():
    params = _init(jax.random.key(2), jnp.zeros((1, 16, 16, 16)))
    posterior = _apply(params, _objects(2))
    distance = so3.geodesic_distance(posterior.rotations, jnp.asarray(so3.cube_group()))
    assert float(distance.max()) < 0.5


def test_the_heaviest_hypothesis_has_the_largest_weight(params):
    posterior = _apply({"params": params}, _objects(4))
    for index in range(4):
        heaviest = int(np.argmax(posterior.log_weights[index]))
        assert np.array_equal(posterior.heaviest()[index], posterior.rotations[index, heaviest])


def test_hypotheses_that_agree_outweigh_a_heavier_one_alone():
    rotations = jnp.asarray(so3.cube_group())
    near = so3.from_rotation_vector(jnp.array([0.05, 0, 0])) @ rotations[3]
    rotations = rotations.at[7].set(near)
    weights = jnp.full(24, 0.01).at[5].set(0.32).at[jnp.array([3, 7])].set(0.24)
    posterior = PosePosterior(rotations[None], jnp.log(weights)[None])
    assert np.array_equal(posterior.heaviest()[0], rotations[5])
    assert float(so3.geodesic_distance(posterior.mode()[0], rotations[3])) < 0.06


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_grids_have_finite_poses_and_gradients(params, value):
    x = jnp.full((1, 16, 16, 16), value)

    def objective(params):
        posterior = NETWORK.apply({"params": params}, x)
        return jnp.sum(posterior.mode() ** 2) + jnp.sum(posterior.log_weights)

    result, gradient = jax.jit(jax.value_and_grad(objective))(params)
    assert np.isfinite(result)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("count", [1, 6, 8])
def test_a_few_objects_at_a_time_have_the_values_and_gradients_of_all_at_once(count):
    def judge(volumes, weights):
        return jnp.tanh(jnp.einsum("bxyz,xyzgk->bgk", volumes, weights))

    def total(weights, function):
        values = function(weights)
        return jnp.sum(values**2), values

    objects = _objects(count)
    weights = 0.02 * jax.random.normal(jax.random.key(3), (16, 16, 16, 24, 2))
    once, chunks = (
        jax.jit(jax.value_and_grad(functools.partial(total, function=function), has_aux=True))(
            weights
        )
        for function in (
            lambda weights: judge(objects, weights),
            lambda weights: pose._in_chunks(lambda some: judge(some, weights), objects),
        )
    )
    assert float(jnp.std(once[0][1])) > 0.1
    np.testing.assert_allclose(chunks[0][1], once[0][1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(chunks[1], once[1], rtol=1e-4, atol=1e-3)
