"""The terms of the objective against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from rotdis import losses
from rotdis.geometry import resample, so3

_mixture_nll, _tilt = jax.jit(losses.mixture_nll), jax.jit(losses.tilt)


def test_the_reconstruction_term_is_the_bernoulli_log_likelihood():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4, 4, 4)) * 3
    x = (generator.uniform(size=(4, 4, 4)) > 0.5).astype(float)
    expected = -stats.bernoulli(special.expit(logits)).logpmf(x).sum()
    assert np.isclose(losses.bernoulli_nll(jnp.asarray(logits), jnp.asarray(x)), expected, 1e-5)


def test_the_reconstruction_term_is_finite_at_extreme_logits():
    logits = jnp.full((2, 2, 2), 1e4)
    value, gradient = jax.value_and_grad(losses.bernoulli_nll)(logits, jnp.zeros((2, 2, 2)))
    assert np.isclose(value, 8e4) and np.isfinite(gradient).all()


@pytest.mark.parametrize("size", [1, 32, 512])
def test_the_kl_term_agrees_with_an_integral(size):
    mean, logvar = 0.7, -1.3
    grid = np.linspace(-12, 12, 200_001)
    density = stats.norm(mean, np.exp(logvar / 2)).pdf(grid)
    ratio = stats.norm(mean, np.exp(logvar / 2)).logpdf(grid) - stats.norm.logpdf(grid)
    expected = size * np.trapezoid(density * ratio, grid)
    value = losses.gaussian_kl(jnp.full(size, mean), jnp.full(size, logvar))
    assert np.isclose(value, expected, rtol=1e-4)


def test_neighbours_are_the_better_told_the_nearer_alike_codes_are():
    random = np.random.default_rng(2)
    squares, alike = random.uniform(0, 20, size=(2, 6)) * [[1], [0.05]]
    counted = np.array([True, False, True, True, False, True])
    told = special.log_softmax(-squares[counted] / (0.2 * 2 * 8))
    expected = -np.sum(special.softmax(alike[counted] / 0.1) * told)
    term = jax.jit(losses.neighbour_nll, static_argnums=3)
    assert np.isclose(term(squares, alike, counted, 8), expected, rtol=1e-5)
    # Least where the codes are as far as the shapes are alike: the entropy of these.
    as_alike = -alike / 0.1 * (0.2 * 2 * 8)
    least = stats.entropy(special.softmax(alike[counted] / 0.1))
    assert np.isclose(term(as_alike, alike, counted, 8), least, rtol=1e-4) and least < expected


def test_without_others_there_is_nothing_to_tell_of_neighbours():
    nobody = jnp.zeros(3, bool)
    value, gradient = jax.value_and_grad(losses.neighbour_nll)(jnp.ones(3), jnp.ones(3), nobody, 8)
    assert value == 0 and not gradient.any()


def test_the_kl_term_vanishes_at_the_prior_alone():
    assert losses.gaussian_kl(jnp.zeros(3), jnp.zeros(3)) == 0
    assert losses.gaussian_kl(jnp.full(3, 0.1), jnp.zeros(3)) > 0


def test_hypotheses_cost_nothing_if_equal_and_the_logarithm_of_their_number_if_certain():
    assert losses.uniform_kl(jnp.log(jnp.full(24, 1 / 24))) == pytest.approx(0, abs=1e-6)
    certain = jax.nn.log_softmax(jnp.zeros(24).at[3].set(200.0))
    assert losses.uniform_kl(certain) == pytest.approx(np.log(24), rel=1e-6)
    assert np.all(np.isfinite(jax.grad(losses.uniform_kl)(certain)))
    half = jax.nn.log_softmax(jnp.full(24, -200.0).at[:2].set(0.0))
    assert losses.uniform_kl(half) == pytest.approx(np.log(12), rel=1e-6)


def test_a_single_certain_hypothesis_costs_its_squared_distance():
    rotation, target = so3.random_uniform(jax.random.key(0), (2,))
    value = _mixture_nll(jnp.zeros(1), rotation[None], target, 10.0)
    # |R - T|_F^2 = 8 sin^2(angle / 2)
    angle = so3.geodesic_distance(rotation, target)
    assert np.isclose(value, 80 * jnp.sin(angle / 2) ** 2, rtol=1e-4)


def test_the_mixture_term_falls_when_weight_moves_to_the_right_hypothesis():
    rotations = jnp.asarray(so3.cube_group())
    uniform = jnp.full(24, -jnp.log(24.0))
    gradient = jax.grad(_mixture_nll)(uniform, rotations, rotations[5], 10.0)
    assert int(jnp.argmin(gradient)) == 5
    assert np.isclose(_mixture_nll(uniform, rotations, rotations[5], 10.0), np.log(24), 0.01)


def test_a_corrected_rotation_costs_its_squared_distance_while_that_is_small():
    target = so3.random_uniform(jax.random.key(1))
    near = target @ so3.from_rotation_vector(jnp.array([0.05, 0, 0]))
    assert losses.rotation_nll(target, target, 50.0) < 0
    grown = losses.rotation_nll(near, target, 50.0) - losses.rotation_nll(target, target, 50.0)
    assert np.isclose(grown, 50 * 8 * np.sin(0.025) ** 2, rtol=0.02)


def test_a_target_out_of_reach_has_no_pull():
    target = so3.random_uniform(jax.random.key(1))
    far = target @ so3.from_rotation_vector(jnp.array([0, 2.0, 0]))
    assert np.abs(jax.grad(losses.rotation_nll)(far, target, 50.0)).max() < 1e-6


def test_an_object_with_faces_parallel_to_the_grid_is_not_tilted_and_turned_it_is():
    box = jnp.zeros((24, 24, 24, 1)).at[6:18, 4:20, 9:15].set(1.0)
    angles = jnp.deg2rad(jnp.array([0.0, 10.0, 25.0, 45.0]))
    axes = jnp.array([[0.0, 0.0, 1.0]])
    rotate = jax.jit(resample.rotate)
    turned = [rotate(box, so3.from_rotation_vector(angle * axes)[0])[..., 0] for angle in angles]
    tilts = [float(_tilt(volume)) for volume in turned]
    assert tilts[0] < 0.15
    assert tilts == sorted(tilts)
    # A quarter turn leaves it as it is.
    assert np.isclose(_tilt(jnp.rot90(turned[1])), tilts[1], rtol=1e-4)


def test_a_ball_is_tilted_as_much_as_directions_are_on_average():
    points = jnp.stack(jnp.meshgrid(*(jnp.arange(40) - 19.5,) * 3))
    ball = jax.nn.sigmoid(15 - jnp.linalg.norm(points, axis=0))
    assert np.isclose(_tilt(ball), 0.6, atol=0.02)


@pytest.mark.parametrize("volume", [np.zeros((8, 8, 8)), np.ones((8, 8, 8))])
def test_the_tilt_of_what_has_no_surface_is_finite_in_value_and_gradient(volume):
    value, gradient = jax.value_and_grad(_tilt)(jnp.asarray(volume, jnp.float32))
    assert np.isfinite(value) and np.isfinite(gradient).all()
