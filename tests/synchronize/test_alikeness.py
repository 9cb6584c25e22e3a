"""Laws of the comparison of canonical forms: the rotation between copies is found, none of NaN."""

import jax.numpy as jnp
import numpy as np
from synchronize.constructed import PROPORTIONS, step

from rotdis.geometry import resample, so3
from rotdis.synchronize import alikeness, fields
from rotdis.synchronize.alikeness import compare
from rotdis.synchronize.solve import solve

GROUP = so3.cube_group()


def _index(rotations):
    return np.einsum("nij,gij->ng", rotations, GROUP).argmax(1)


def _objects():
    """Eight objects of one kind, without a symmetry, and their parts vary."""
    random = np.random.default_rng(4)
    objects = np.zeros((8, 16, 16, 16), np.float32)
    for one in objects:
        length, height = random.integers(9, 13), random.integers(8, 12)
        one[2 : 2 + length, 4:10, 6:9] = one[2:5, 4 : 4 + height, 6:9] = 1
        one[2:6, 4:8, 6:13] = 1
    return objects


def test_turned_objects_are_compared_at_the_rotation_between_them():
    scramble = np.random.default_rng(5).integers(0, 24, 8)
    copies = np.asarray(resample.cube_copies(jnp.asarray(_objects())))
    inverse = _index(GROUP[scramble].transpose(0, 2, 1))
    turned = copies[np.arange(8), inverse]  # by `scramble`
    (edges, scores), alike = compare(turned, 3)
    assert 12 <= len(edges) <= 24 and (edges[:, 0] < edges[:, 1]).all()
    i, j = edges.T
    between = _index(GROUP[scramble[j]] @ GROUP[scramble[i]].transpose(0, 2, 1))
    assert (scores.argmax(1) == between).mean() > 0.9
    turns, _ = solve(8, edges, scores)
    assert len(set(_index(GROUP[turns] @ GROUP[scramble]))) == 1
    assert np.allclose(np.diag(alike), 1, atol=1e-4)
    # However they are turned.
    assert np.allclose(alike, compare(_objects(), 3)[1], atol=1e-3)


def test_products_of_coordinates_are_what_objects_are_alike():
    points = np.random.default_rng(8).normal(size=(90, 6))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = alikeness.coordinates(points @ points.T)
    assert found.shape == (90, alikeness.COORDINATES) and found.dtype == np.float32
    centred = points - points.mean(axis=0)
    assert np.allclose(found @ found.T, centred @ centred.T, atol=1e-5)
    few = alikeness.coordinates(points[:3] @ points[:3].T)  # fewer than coordinates
    assert few.shape == (3, alikeness.COORDINATES) and not few[:, 2:].any()


def test_copies_have_coordinates_that_repeat():
    """The solver exhausts what few different objects span, and goes on from another start."""
    assert not alikeness.coordinates(np.ones((5, 5))).any()
    points = np.eye(3)[np.arange(20) % 3]
    one, two = (alikeness.coordinates(points @ points.T) for _ in range(2))
    assert np.array_equal(one, two)
    centred = points - points.mean(axis=0)
    assert np.allclose(one @ one.T, centred @ centred.T, atol=1e-5)


def test_proportions_do_not_mislead():
    scramble = GROUP[np.random.default_rng(6).integers(0, 24, len(PROPORTIONS))]
    forms = fields.solids(np.stack([step(sides) for sides in PROPORTIONS]))
    pairs, _ = compare(fields.turned(forms, scramble) / 255, 5)
    turns, _ = solve(len(scramble), *pairs)
    assert len(set(_index(GROUP[turns] @ scramble))) == 1


def test_the_frames_that_objects_come_in_change_nothing_but_the_rotations():
    objects = _objects()
    copies = np.asarray(resample.cube_copies(jnp.asarray(objects)))
    straight, turned = compare(objects, 3)[0], compare(copies[:, 7], 3)[0]
    assert (straight.edges == turned.edges).all()


def test_products_are_the_cosines_of_whitened_features():
    features = np.random.default_rng(7).normal(size=(40, 24))
    order = np.stack([np.roll(np.arange(24), shift) for shift in range(24)])
    left, right = alikeness._decorrelated(features, order)
    copies = features[:, order].reshape(-1, 24)
    values, vectors = np.linalg.eigh(np.cov(copies.T, bias=True))
    scale = (values + alikeness._SHRINKAGE * values.max()) ** -0.5
    white = (copies - copies.mean(axis=0)) @ (vectors * scale) @ vectors.T
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    white = white.reshape(40, 24, 24)
    expected = np.einsum("igv,jv->ijg", white, white[:, 0])
    assert np.allclose(np.einsum("igv,jv->ijg", left[:, order], right), expected, atol=1e-5)


def test_empty_and_equal_forms_do_no_harm():
    for forms in (np.zeros((4, 16, 16, 16)), np.ones((4, 16, 16, 16))):
        (_, scores), alike = compare(forms, 2)
        assert np.isfinite(scores).all() and np.isfinite(alikeness.coordinates(alike)).all()
