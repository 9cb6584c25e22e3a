"""Laws of the rotation group, against SciPy's Rotation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis.geometry import so3

SHAPES = [(), (5,), (2, 3)]
_from_quaternion = jax.jit(so3.from_quaternion)
_from_rotation_vector = jax.jit(so3.from_rotation_vector)
_from_6d = jax.jit(so3.from_6d)
_from_matrix = jax.jit(so3.from_matrix)
_geodesic_distance = jax.jit(so3.geodesic_distance)


def _is_rotation(matrix, tolerance=1e-5):
    product = matrix @ np.swapaxes(matrix, -1, -2)
    assert np.allclose(product, np.eye(3), atol=tolerance)
    assert np.allclose(np.linalg.det(matrix), 1, atol=tolerance)


def test_the_cube_group_is_24_distinct_rotations_closed_under_composition():
    group = so3.cube_group()
    _is_rotation(group, 0)
    assert np.array_equal(group[0], np.eye(3))
    keys = {matrix.tobytes() for matrix in group + 0.0}
    assert len(keys) == 24
    products = np.einsum("gij,hjk->ghik", group, group).reshape(-1, 3, 3) + 0.0
    assert {matrix.tobytes() for matrix in products} == keys


@pytest.mark.parametrize("shape", SHAPES)
def test_quaternions_agree_with_scipy(shape):
    quaternion = np.random.default_rng(0).normal(size=(*shape, 4))
    expected = Rotation.from_quat(np.roll(quaternion, -1, -1).reshape(-1, 4)).as_matrix()
    assert np.allclose(
        _from_quaternion(jnp.asarray(quaternion)), expected.reshape(*shape, 3, 3), atol=1e-5
    )


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e-3, 1.0, np.pi, 6.0])
def test_rotation_vectors_agree_with_scipy(scale):
    vector = np.random.default_rng(1).normal(size=(7, 3))
    vector *= scale / np.linalg.norm(vector, axis=-1, keepdims=True)
    expected = Rotation.from_rotvec(vector).as_matrix()
    assert np.allclose(_from_rotation_vector(jnp.asarray(vector)), expected, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_six_numbers_give_a_rotation_that_keeps_the_first_direction(shape):
    columns = np.random.default_rng(2).normal(size=(*shape, 6))
    rotation = np.asarray(_from_6d(jnp.asarray(columns)))
    _is_rotation(rotation)
    first = columns[..., :3] / np.linalg.norm(columns[..., :3], axis=-1, keepdims=True)
    assert np.allclose(rotation[..., 0], first, atol=1e-5)


def test_a_rotation_is_restored_from_its_first_two_columns():
    rotation = so3.random_uniform(jax.random.key(0), (9,))
    columns = jnp.concatenate([rotation[..., 0], rotation[..., 1]], -1)
    assert np.allclose(_from_6d(columns), rotation, atol=1e-5)


DEGENERATE = {
    "zero": [0, 0, 0, 0, 0, 0],
    "first zero": [0, 0, 0, 0, 2, 0],
    "second zero": [1, 0, 0, 0, 0, 0],
    "parallel": [1, 2, 3, 1, 2, 3],
    "opposite": [1, 2, 3, -2, -4, -6],
    "almost parallel": [1, 0, 0, 1, 1e-7, 0],
    "hardly a plane": [1, 0, 0, 1, 0.011, 0],
    "tiny": [1e-30, 0, 0, 0, 1e-30, 0],
    "huge": [1e25, 0, 0, 0, 1e25, 0],
}


def test_degenerate_residuals_are_rotations_of_finite_gradient():
    columns = jnp.asarray(list(DEGENERATE.values()), jnp.float32)
    rotation, pull_back = jax.vjp(_from_6d, columns)
    _is_rotation(np.asarray(rotation))
    for entry in range(9):
        cotangent = jnp.zeros((len(columns), 9)).at[:, entry].set(1.0).reshape(-1, 3, 3)
        # The length of a vector and the sine of an angle bound it; NaN is not below anything.
        assert (np.abs(pull_back(cotangent)[0]) < 1e3).all()


def test_a_residual_that_is_not_finite_does_not_pass_for_a_rotation():
    for bad in (np.nan, np.inf):
        assert np.isnan(_from_6d(jnp.array([bad, 0, 0, 0, 1, 0]))).any()


def test_the_rotation_of_a_matrix_is_the_nearest_one():
    matrix = jax.random.normal(jax.random.key(3), (100, 3, 3))
    nearest = _from_matrix(matrix)
    _is_rotation(np.asarray(nearest))
    for one, found in zip(np.asarray(matrix, np.float64), np.asarray(nearest), strict=True):
        # Kabsch: the same problem, solved for the three unit vectors.
        expected = Rotation.align_vectors(one.T, np.eye(3))[0].as_matrix()
        assert np.allclose(found, expected, atol=1e-4)
    rotation = so3.random_uniform(jax.random.key(4), (20,))
    assert np.allclose(_from_matrix(2.5 * rotation), rotation, atol=1e-5)


def test_the_derivative_of_the_nearest_rotation_is_that_of_finite_differences():
    matrix = np.asarray(jax.random.normal(jax.random.key(5), (3, 3)), np.float64)
    direction = np.asarray(jax.random.normal(jax.random.key(6), (3, 3)), np.float64)
    _, tangent = jax.jvp(_from_matrix, (jnp.asarray(matrix),), (jnp.asarray(direction),))
    with jax.enable_x64(True):
        ahead, behind = (
            np.asarray(_from_matrix(jnp.asarray(matrix + h * direction, jnp.float64)))
            for h in (1e-6, -1e-6)
        )
    assert np.allclose(tangent, (ahead - behind) / 2e-6, atol=1e-3)


def test_the_nearest_rotation_of_a_degenerate_matrix_is_one_and_of_finite_gradient():
    flip = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    line, plane, tiny = np.outer([1, 2, 3], [1, 0, 0]), np.diag([1, 1, 0]), 1e-30 * np.eye(3)
    matrices = [np.zeros((3, 3)), np.ones((3, 3)), -np.eye(3), flip, line, plane, tiny]
    matrices = jnp.asarray(np.stack(matrices), jnp.float32)
    rotation, pull_back = jax.vjp(_from_matrix, matrices)
    _is_rotation(np.asarray(rotation))
    for entry in range(9):
        cotangent = jnp.zeros((len(matrices), 9)).at[:, entry].set(1.0).reshape(-1, 3, 3)
        assert (np.abs(pull_back(cotangent)[0]) < 1e3).all()


def test_the_rotation_of_no_quaternion_and_of_no_vector_is_the_identity():
    for function, size in ((_from_quaternion, 4), (_from_rotation_vector, 3)):
        rotation, pull_back = jax.vjp(function, jnp.zeros(size))
        assert np.allclose(rotation, np.eye(3), atol=1e-6)
        assert np.isfinite(pull_back(jnp.ones((3, 3)))[0]).all()


def test_random_rotations_are_uniform():
    rotation = np.asarray(so3.random_uniform(jax.random.key(1), (20_000,)))
    _is_rotation(rotation)
    assert np.abs(rotation.mean(0)).max() < 0.02
    # The angle of a uniform rotation has density (1 - cos t) / pi, hence the mean pi/2 + 2/pi.
    angle = _geodesic_distance(jnp.asarray(rotation), jnp.eye(3))
    assert abs(float(angle.mean()) - (np.pi / 2 + 2 / np.pi)) < 0.02


def test_random_cube_rotations_are_all_of_the_24_and_about_equally_often():
    drawn = np.asarray(so3.random_cube(jax.random.key(0), (4800,)))
    index = (drawn[:, None] == so3.cube_group()).all((-1, -2)).argmax(1)
    counts = np.bincount(index, minlength=24)
    assert counts.min() > 130 and counts.max() < 280


@pytest.mark.parametrize("angle", [0.0, 1e-4, 1e-2, 1.0, np.pi - 1e-2, np.pi])
def test_distance_is_the_angle_of_the_relative_rotation(angle):
    axis = np.array([0.6, 0.0, 0.8])
    base = Rotation.from_rotvec([0.3, -1.2, 0.5]).as_matrix()
    turned = Rotation.from_rotvec(angle * axis).as_matrix() @ base
    assert abs(float(_geodesic_distance(jnp.asarray(base), jnp.asarray(turned))) - angle) < 1e-5


def test_distance_is_symmetric_and_invariant():
    a, b, c = so3.random_uniform(jax.random.key(2), (3, 50))
    distance = _geodesic_distance(a, b)
    assert np.allclose(distance, _geodesic_distance(b, a), atol=1e-5)
    assert np.allclose(distance, _geodesic_distance(c @ a, c @ b), atol=2e-5)


def test_the_gradient_of_the_distance_is_finite_at_zero_and_at_half_a_turn():
    for turned in (np.eye(3), np.diag([1.0, -1, -1]), np.diag([-1.0, -1, 1])):
        turned = jnp.asarray(turned, jnp.float32)
        gradient = jax.grad(_geodesic_distance)(turned, jnp.eye(3))
        assert np.isfinite(gradient).all()
