"""Laws of the adjoint: every form is the exact transpose of rotating a volume."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.geometry import adjoint, resample, so3

# Of all rotations the one whose largest entry is smallest, where the gather form is at its limit.
LEAST = np.array([[2, -1, 2], [2, 2, -1], [-1, 2, 2]], np.float32) / 3


def _rotations():
    return [*so3.random_uniform(jax.random.key(0), (8,)), LEAST, LEAST.T, *so3.cube_group()[::7]]


def test_no_rotation_has_a_smaller_largest_entry():
    largest = np.abs(so3.random_uniform(jax.random.key(1), (200_000,))).max((1, 2))
    assert 2 / 3 < largest.min() < 0.69
    assert np.isclose(np.abs(LEAST).max(), 2 / 3) and np.isclose(np.linalg.det(LEAST), 1)


@pytest.mark.parametrize("method", [None, *adjoint.METHODS])
@pytest.mark.parametrize("size, channels", [(1, 2), (2, 1), (7, 3), (8, 1)])
def test_it_satisfies_the_adjoint_identity(method, size, channels):
    volume, cotangent = jax.random.normal(
        jax.random.key(size), (2, size, size, size, channels), jnp.float32
    )
    rotate = jax.jit(resample.rotate)
    transpose = jax.jit(functools.partial(adjoint.transpose, method=method))
    for rotation in _rotations():
        left = np.vdot(np.float64(rotate(volume, rotation)), cotangent)
        right = np.vdot(np.float64(volume), transpose(cotangent, rotation))
        assert abs(left - right) < 1e-6 * np.linalg.norm(volume) * np.linalg.norm(cotangent)


@pytest.mark.parametrize("method", adjoint.METHODS)
def test_the_cube_rotations_are_undone_exactly(method):
    volume = jax.random.normal(jax.random.key(2), (6, 6, 6, 2))
    rotate = jax.jit(resample.rotate)
    transpose = jax.jit(functools.partial(adjoint.transpose, method=method))
    for rotation in so3.cube_group():
        assert np.array_equal(transpose(rotate(volume, rotation), rotation), volume)


def test_all_forms_agree_where_many_samples_meet_in_a_voxel():
    cotangent = jax.random.normal(jax.random.key(3), (12, 12, 12, 2))
    forms = [
        jax.jit(functools.partial(adjoint.transpose, method=method)) for method in adjoint.METHODS
    ]
    for rotation in _rotations():
        scatter, gather, matrix = (form(cotangent, rotation) for form in forms)
        assert np.allclose(scatter, gather, atol=1e-5)
        assert np.allclose(scatter, matrix, atol=1e-5)
