"""Winding numbers along rays against libigl's solid angles, and known solids."""

import numpy as np
import pytest

from rotdis.data import scanline

trimesh = pytest.importorskip("trimesh")
AXIS = np.linspace(-1, 1, 24)


def _meshes():
    box = trimesh.creation.box((1.0, 0.5, 1.4))
    ring = trimesh.creation.torus(0.6, 0.25)
    ball = trimesh.creation.icosphere(2, 0.7)
    two = trimesh.util.concatenate([box, trimesh.creation.icosphere(1, 0.5)])
    ball.apply_translation((0.2, 0, 0.1))
    return {"box": box, "ring": ring, "ball": ball, "overlapping": two}


@pytest.mark.parametrize("name", _meshes())
def test_the_numbers_agree_with_solid_angles(name):
    igl = pytest.importorskip("igl")
    mesh = _meshes()[name]
    numbers = scanline.winding_numbers(mesh.vertices, mesh.faces, AXIS)
    points = np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), -1).reshape(-1, 3)
    exact = igl.winding_number(mesh.vertices, mesh.faces, points).reshape(numbers.shape)
    # On the surface itself the solid angle is a fraction, and either answer is right.
    clear = np.abs(exact - np.round(exact)) < 1e-3
    assert clear.mean() > 0.9 and numbers.max() == (2 if name == "overlapping" else 1)
    assert np.array_equal(numbers[clear], np.round(exact)[clear])


def test_a_mesh_wound_the_other_way_has_the_opposite_numbers():
    mesh = _meshes()["ring"]
    numbers = scanline.winding_numbers(mesh.vertices, mesh.faces, AXIS)
    flipped = scanline.winding_numbers(mesh.vertices, mesh.faces[:, ::-1], AXIS)
    assert numbers.any() and np.array_equal(flipped, -numbers)


def test_an_open_mesh_is_declined():
    box = _meshes()["box"]
    up = box.face_normals[:, 2] > 0.5
    assert scanline.winding_numbers(box.vertices, box.faces[~up], AXIS) is None
