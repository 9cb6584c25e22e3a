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


def test_nothing_is_written_of_an_empty_surface(tmp_path):
    assert not surfaces.save(surfaces.surface(np.zeros((8, 8, 8))), tmp_path / "none.ply")
    assert not list(tmp_path.iterdir())
