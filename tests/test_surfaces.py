"""Laws of surfaces: their size and orientation, and the files that they are kept in."""

import numpy as np
import pytest

trimesh = pytest.importorskip("trimesh")
from rotdis import mesh_files, surfaces  # noqa: E402  (needs trimesh)


def _ball(size, radius):
    return np.linalg.norm(np.indices((size,) * 3) - (size - 1) / 2, axis=0) < radius


def test_the_surface_has_the_size_asked_for():
    sphere = surfaces.surface(_ball(32, 0.95 * 16).astype(np.float32), radius=7.0)
    radii = np.linalg.norm(sphere.vertices, axis=1)
    assert abs(radii.mean() - 7.0) < 0.3
    assert sphere.is_watertight and sphere.volume > 0
    assert surfaces.surface(np.zeros((8, 8, 8))).is_empty


@pytest.mark.parametrize("suffix", mesh_files.FORMATS)
def test_a_saved_surface_comes_back(tmp_path, suffix):
    mesh = surfaces.surface(_ball(16, 5).astype(np.float32))
    path = tmp_path / "made" / f"ball.{suffix}"
    assert surfaces.save(mesh, path)
    loaded = trimesh.load_mesh(path)
    assert np.allclose(loaded.bounds, mesh.bounds, atol=1e-5)
    assert np.isclose(loaded.volume, mesh.volume, rtol=1e-4)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("radius", [1e-9, 1e-7, 1e12])
def test_a_surface_is_the_same_in_whatever_units(radius):
    occupancy = np.random.default_rng(0).random((9, 9, 9)).astype(np.float32)
    one, other = surfaces.surface(occupancy), surfaces.surface(occupancy, radius)
    assert other.is_watertight and len(other.vertices) == len(one.vertices)
    np.testing.assert_allclose(other.vertices / radius, one.vertices, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_surface_is_closed_where_voxels_are_half_full_as_well(seed):
    halves = np.random.default_rng(seed).integers(0, 3, (8, 8, 8)) / 2
    mesh = surfaces.surface(halves)
    assert mesh.is_watertight and mesh.volume > 0


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_surface_is_closed_where_full_voxels_meet_crosswise(share):
    full = np.random.default_rng(0).random((12, 12, 12)) < share
    mesh = surfaces.surface(full.astype(np.float32))
    assert mesh.is_watertight and mesh.volume > 0


@pytest.mark.parametrize("suffix", ["obj", "off", "ply"])
def test_a_saved_surface_has_its_units(tmp_path, suffix):
    mesh = surfaces.surface(_ball(8, 3).astype(np.float32), radius=1e-8)
    surfaces.save(mesh, tmp_path / f"ball.{suffix}")
    loaded = trimesh.load_mesh(tmp_path / f"ball.{suffix}", process=False)
    np.testing.assert_allclose(loaded.bounds, mesh.bounds, rtol=1e-5)


@pytest.mark.parametrize(
    "occupancy, radius",
    [
        (_ball(16, 5)[:10], 1.0),
        (np.full((8,) * 3, np.nan), 1.0),
        (np.zeros((0, 0, 0)), 1.0),
        ([[1.0]], 1.0),
        (_ball(16, 5), -1.0),
        (_ball(16, 5), np.inf),
    ],
)
def test_what_has_no_surface_is_refused(occupancy, radius):
    with pytest.raises(ValueError, match="finite grid .* positive radius"):
        surfaces.surface(occupancy, radius)


@pytest.mark.parametrize("name", ["ball.gltf", "ball.xyz", "ball"])
def test_a_format_that_is_none_of_ours_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name it .ply|name it .off"):
        surfaces.save(surfaces.surface(_ball(16, 5).astype(np.float32)), tmp_path / name)


def test_nothing_is_written_of_an_empty_surface(tmp_path):
    assert not surfaces.save(surfaces.surface(np.zeros((8, 8, 8))), tmp_path / "none.ply")
    assert not list(tmp_path.iterdir())
