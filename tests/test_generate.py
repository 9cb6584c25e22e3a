"""Laws of generation: ways from one shape or rotation to another, and shapes at rotations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from rotdis import generate
from rotdis.models.rotation_vae import Code


class _Model:
    """Encodes an object as its means over planes, and decodes both arguments into 2^3 voxels."""

    def encode(self, voxels):
        rotation = Rotation.random(len(voxels), rng=0).as_matrix()
        return Code(voxels.mean((1, 2)), None, rotation, None)

    def decode(self, z, rotation):
        return (z[:, :2, None, None] + rotation[:, None, :2, :2]) / 10


def _angles(rotations):
    relative = np.swapaxes(rotations[:-1], 1, 2) @ rotations[1:]
    return np.degrees(Rotation.from_matrix(relative).magnitude())


def test_between_codes_of_one_norm_the_norm_stays_and_steps_are_even():
    random = np.random.default_rng(0)
    start, end = 3 * Rotation.random(2, rng=random).as_quat()
    codes = generate.interpolate(start, end, 7)
    assert np.allclose(codes[[0, -1]], [start, end], atol=1e-6)
    assert np.allclose(np.linalg.norm(codes, axis=1), 3, atol=1e-5)
    steps = np.linalg.norm(np.diff(codes, axis=0), axis=1)
    assert np.allclose(steps, steps[0], atol=1e-5)


@pytest.mark.parametrize("end", [(0, 0, 0), (2, 4, 6), (-1, -2, -3), (1, 2, 3), (9, -1, 2)])
@pytest.mark.parametrize("noise", [0, 1e-7, 1e-4])
def test_wherever_the_codes_lie_the_way_leads_from_one_to_the_other(end, noise):
    start, end = np.array([1.0, 2, 3]), np.array(end) + noise * np.array([1, 0, -1])
    codes = generate.interpolate(start, end, 5)
    assert np.allclose(codes[[0, -1]], [start, end], atol=1e-5)
    longest = max(np.linalg.norm(start), np.linalg.norm(end))
    assert (np.linalg.norm(codes, axis=1) <= longest * 1.001).all()


@pytest.mark.parametrize("axis", [(0, 0, 1), (0, -2, 0), (1, 2, 3)])
def test_a_full_turn_keeps_its_axis_and_closes(axis):
    turns = generate.full_turn(axis, 12)
    assert np.allclose(turns[0], np.eye(3), atol=1e-6)
    assert np.allclose(turns @ np.array(axis), axis, atol=1e-5)
    assert np.allclose(_angles(turns[[*range(12), 0]]), 30, atol=1e-2)
    assert np.allclose(np.linalg.matrix_power(turns[1], 12), np.eye(3), atol=1e-5)


def test_a_turn_about_z_takes_x_to_y():
    assert np.allclose(generate.full_turn((0, 0, 1), 4)[1] @ [1, 0, 0], [0, 1, 0], atol=1e-6)


@pytest.mark.parametrize("degrees", [0, 1e-3, 50, 179.9, 180])
def test_a_geodesic_is_the_shortest_way_at_even_speed(degrees):
    start = Rotation.random(rng=0)
    end = start * Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0, 0.8]))
    way = generate.geodesic(start.as_matrix(), end.as_matrix(), 6)
    assert np.allclose(way[[0, -1]], [start.as_matrix(), end.as_matrix()], atol=1e-5)
    assert np.allclose(_angles(way), degrees / 5, atol=0.02)


def test_between_two_objects_the_ends_are_their_own_shapes_in_the_canonical_frame():
    model, objects = _Model(), np.random.default_rng(0).uniform(size=(2, 2, 2, 2))
    way = generate.between(model, *objects, 4)
    expected = model.decode(model.encode(objects).z_mean, np.broadcast_to(np.eye(3), (2, 3, 3)))
    assert way.shape == (4, 2, 2, 2)
    assert np.allclose(way[[0, -1]], expected, atol=1e-6)


def test_every_shape_is_decoded_at_every_rotation():
    model, turns = _Model(), generate.full_turn((1, 2, 3), 3)
    codes = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    volumes = generate.decode_at(model, codes, turns)
    assert volumes.shape == (4, 3, 2, 2, 2)
    for i, j in np.ndindex(4, 3):
        assert np.allclose(volumes[i, j], model.decode(codes[[i]], turns[[j]])[0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: generate.interpolate(np.ones(3), np.ones(3), 1),
        lambda: generate.interpolate(np.ones(3), np.ones(4), 5),
        lambda: generate.full_turn((0, 0, 0), 4),
        lambda: generate.full_turn((0, 0, 1), 0),
        lambda: generate.geodesic(np.eye(3), np.eye(3), 1),
        lambda: generate.decode_at(_Model(), np.ones((2, 3)), np.eye(3)),
        lambda: generate.decode_at(_Model(), np.ones(3), np.eye(3)[None]),
    ],
)
def test_a_way_without_ends_is_refused(call):
    with pytest.raises(ValueError, match="takes"):
        call()


def test_half_a_step_is_none():
    with pytest.raises(TypeError):
        generate.full_turn((0, 0, 1), 2.5)
