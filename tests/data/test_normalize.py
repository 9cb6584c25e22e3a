"""Laws of the smallest enclosing ball and of normalized grids."""

import numpy as np
import pytest
import trimesh
from scipy.optimize import nnls

from rotdis.data.meshes import MeshError
from rotdis.data.normalize import RADIUS_FRACTION, enclosing_ball, normalize, normalize_grid
from rotdis.errors import DataError


def _cloud(kind: str, count: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(count, 3))
    if kind == "coplanar":
        points[:, 2] = 0
    elif kind == "collinear":
        points = points[:, :1] * np.array([[1.0, 2.0, 3.0]])
    elif kind == "lattice":
        points = rng.integers(0, 3, (count, 3)).astype(float)
    elif kind == "cospherical":
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    elif kind == "duplicates":
        points = np.repeat(points, 3, axis=0)
    elif kind == "far_away":
        points += 1e6
    elif kind == "tiny":
        points *= 1e-200
    elif kind == "huge":
        points *= 1e300
    return points


@pytest.mark.parametrize(
    "kind",
    "general coplanar collinear lattice cospherical duplicates far_away tiny huge".split(),
)
def test_ball_contains_all_points_and_its_contacts_hold_the_centre(kind):
    """Containing all points, with its centre in the hull of those on it, a ball is the smallest."""
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 4, 5, 9, 40):
        points = _cloud(kind, count, rng)
        centre, radius = enclosing_ball(points)
        if np.ptp(points, axis=0).max() == 0:
            assert radius == 0
            continue
        relative = (points - centre) / radius
        distance = np.linalg.norm(relative, axis=1)
        assert distance.max() <= 1 + 1e-7
        contacts = relative[distance > 1 - 1e-7]
        weights = np.vstack([contacts.T, np.ones(len(contacts))])
        assert nnls(weights, np.array([0.0, 0, 0, 1]))[1] < 1e-6


def test_ball_needs_finite_points():
    for points in (np.zeros((0, 3)), np.full((2, 3), np.nan)):
        with pytest.raises(DataError):
            enclosing_ball(points)


def _chair(shape: tuple[int, int, int] = (20, 24, 30)) -> np.ndarray:
    grid = np.zeros(shape, dtype=bool)
    grid[4:16, 6:20, 10:12] = True
    grid[4:16, 18:20, 12:27] = True
    for x, y in ((4, 6), (15, 6), (4, 19), (15, 19)):
        grid[x, y, 2:10] = True
    return grid


def _cube_rotations():
    for permutation in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)):
        matrix = np.eye(3)[list(permutation)]
        for signs in np.ndindex(2, 2, 2):
            sign = 1 - 2 * np.array(signs)
            if np.linalg.det(matrix * sign[:, None]) > 0:
                yield permutation, sign


@pytest.mark.parametrize("resolution", [16, 32, 48])
@pytest.mark.parametrize("soft", [False, True])
def test_turning_by_the_cube_commutes_with_normalizing(resolution, soft):
    grid = _chair()
    if soft:
        grid = grid * np.random.default_rng(0).uniform(0.2, 1, grid.shape)
    expected = normalize_grid(grid, resolution)
    rotations = list(_cube_rotations())
    assert len(rotations) == 24
    for permutation, sign in rotations:
        turn = tuple(slice(None, None, s) for s in sign)
        turned = normalize_grid(grid.transpose(permutation)[turn], resolution)
        np.testing.assert_allclose(turned, expected.transpose(permutation)[turn], atol=1e-5)


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_place_and_size_in_the_source_do_not_matter(resolution):
    """The same object, shifted in a larger grid and twice as fine, gives about the same."""
    grid = _chair()
    fine = np.kron(grid, np.ones((2, 2, 2)))
    expected = normalize_grid(grid, resolution)
    shifted = normalize_grid(np.pad(grid, ((9, 0), (0, 4), (3, 17))), resolution)
    np.testing.assert_allclose(shifted, expected, atol=1e-5)
    # The one is interpolated, the other has edges: half a source voxel of smear at the surface.
    assert np.abs(normalize_grid(fine, resolution) - expected).mean() < 0.02


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_object_fills_its_ball(resolution):
    x = np.arange(40) - 19.5
    ball = x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 < 12**2
    radius = np.cbrt(normalize_grid(np.pad(ball, 3), resolution).sum() / (4 / 3 * np.pi))
    # A ball of voxels is stepped: its enclosing ball is half a voxel of the source larger.
    assert radius == pytest.approx(RADIUS_FRACTION * resolution / 2, rel=0.06)


@pytest.mark.parametrize("resolution", [16, 32, 48])
def test_normalizing_twice_changes_little(resolution):
    once = normalize_grid(_chair(), resolution)
    twice = normalize_grid(once, resolution)
    assert np.abs(twice - once).mean() < 0.01
    np.testing.assert_array_equal(normalize_grid(twice, resolution), twice)


def test_real_grids_are_fixed_points_once_normalized(modelnet10_dir):
    grids = np.load(modelnet10_dir / "modelnet10_30.npz")["X_test"][::20]
    once = [normalize_grid(grid, 32) for grid in grids if grid.any()]
    change = [np.abs(normalize_grid(grid, 32) - grid).mean() for grid in once]
    assert np.median(change) == 0
    assert max(change) < 0.02


def test_thin_parts_survive_shrinking():
    grid = np.zeros((96, 96, 96), dtype=bool)
    grid[10:86, 10:86, 40:50] = True
    grid[47, 47, 2:94] = True  # a pole one voxel thick, a tenth of a voxel after shrinking
    small = normalize_grid(grid, 16)
    pole = small[6:10, 6:10, 2:5].sum(axis=(0, 1))
    step = 16 * RADIUS_FRACTION / 2
    assert (pole > 0.3 * (step / 60) ** 2).all()
    assert pole.std() < 0.05 * pole.mean() + 1e-3


def test_accepts_what_people_have_and_refuses_the_rest():
    grid = _chair()
    expected = normalize_grid(grid, 32)
    assert expected.shape == (32, 32, 32) and expected.dtype == np.float32
    for same in (grid.astype(np.uint8), grid * 2 - 1, grid.astype(np.float16), grid * 255):
        np.testing.assert_array_equal(normalize_grid(same, 32), expected)
    with_nan = grid.astype(float)
    with_nan[0, 0, 0] = np.nan
    for bad in (np.zeros((8, 8, 8)), with_nan, grid[None], grid.astype(complex), grid.astype(str)):
        with pytest.raises(DataError):
            normalize_grid(bad, 32)


def test_single_voxel_is_an_object():
    grid = np.zeros((9, 7, 5), dtype=bool)
    grid[8, 0, 2] = True
    assert normalize_grid(grid, 16)[7:9, 7:9, 7:9].min() > 0.5


def test_normalize_takes_grids_meshes_and_paths(tmp_path):
    box = trimesh.creation.box((2, 1, 1))
    path = tmp_path / "box.off"
    path.write_text(box.export(file_type="off"))
    from_mesh = normalize(box, 32)
    np.testing.assert_array_equal(normalize(path, 32), from_mesh)
    np.testing.assert_array_equal(normalize(str(path), 32), from_mesh)
    np.testing.assert_array_equal(normalize(trimesh.Scene(box), 32), from_mesh)
    np.testing.assert_array_equal(normalize(from_mesh, 32), from_mesh)
    assert np.abs(normalize(np.ones((40, 20, 20)), 32) - from_mesh).mean() < 0.02
    with pytest.raises(MeshError, match="missing.off"):
        normalize(tmp_path / "missing.off", 32)
    for source in (None, trimesh.PointCloud(box.vertices)):
        with pytest.raises(DataError, match="is neither a mesh nor a grid"):
            normalize(source, 32)
    with pytest.raises(ValueError, match="resolution of 0"):
        normalize(np.ones((4, 4, 4)), 0)
