"""Laws of the voxelizer: volumes, equivariance, robustness, agreement with binvox."""

import igl
import numpy as np
import pytest
import trimesh
from scipy import ndimage
from scipy.spatial.transform import Rotation
from trimesh.exchange.binvox import parse_binvox

from rotdis.data.meshes import MeshError, clean_mesh, load_mesh
from rotdis.data.normalize import RADIUS_FRACTION, enclosing_ball
from rotdis.data.voxelize import NothingInside, voxelize, voxelize_part


def _solid(name: str) -> trimesh.Trimesh:
    if name == "sphere":
        return trimesh.creation.icosphere(subdivisions=4)
    if name == "box":
        # Aslant: of faces along the axes all samples cross at once, an error of up to a sample.
        turn = trimesh.transformations.euler_matrix(0.4, 0.3, 0.7)
        return trimesh.creation.box((1.0, 0.83, 0.61), turn)
    return trimesh.creation.torus(1.0, 0.37, major_sections=64, minor_sections=48)


def _lamp() -> trimesh.Trimesh:
    """An object without any symmetry."""
    parts = [
        trimesh.creation.box((6, 5, 3), trimesh.transformations.translation_matrix((1, 0, 0))),
        trimesh.creation.box((2, 2, 6), trimesh.transformations.translation_matrix((-1, 1, 3))),
        trimesh.creation.box((3, 4, 2), trimesh.transformations.translation_matrix((-2, 3, 6))),
    ]
    return trimesh.util.concatenate(parts)


@pytest.mark.parametrize("resolution, supersample", [(16, 4), (32, 2), (48, 2), (64, 1)])
@pytest.mark.parametrize("name", ["sphere", "box", "torus"])
def test_volume_is_the_solids_own(name, resolution, supersample):
    mesh = _solid(name)
    _, radius = enclosing_ball(mesh.vertices)
    expected = mesh.volume * (RADIUS_FRACTION * resolution / 2 / radius) ** 3
    voxels = voxelize(mesh, resolution, supersample)
    assert voxels.shape == (resolution,) * 3 and voxels.dtype == np.float32
    assert voxels.sum() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("resolution, supersample", [(16, 1), (32, 2), (64, 1)])
def test_box_along_the_axes_is_right_to_a_sample_a_side(resolution, supersample):
    sides = np.array([1.0, 0.83, 0.61])
    samples = voxelize(trimesh.creation.box(sides), resolution * supersample)
    extent = [
        np.ptp(np.flatnonzero(samples.sum(axis=axes))) + 1 for axes in ((1, 2), (0, 2), (0, 1))
    ]
    expected = sides * RADIUS_FRACTION * resolution * supersample / np.linalg.norm(sides)
    assert samples.sum() == np.prod(extent)
    assert np.abs(np.array(extent) - expected).max() <= 1
    coarse = voxelize(trimesh.creation.box(sides), resolution, supersample)
    assert coarse.sum() == pytest.approx(samples.sum() / supersample**3)


def test_supersampled_values_are_means_of_the_finer_grid():
    mesh = _lamp()
    fine = voxelize(mesh, 48)
    assert set(np.unique(fine)) == {0.0, 1.0}
    means = fine.reshape(16, 3, 16, 3, 16, 3).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(voxelize(mesh, 16, supersample=3), means, atol=1e-6)


def test_axes_are_x_y_z():
    pin = trimesh.util.concatenate(
        [
            trimesh.creation.box((1, 1, 1)),
            trimesh.creation.box(
                (4, 0.5, 0.5), trimesh.transformations.translation_matrix((2, 0, 0))
            ),
        ]
    )
    voxels = voxelize(pin, 32, supersample=2)
    extent = [np.ptp(np.flatnonzero(voxels.sum(axis=axes))) for axes in ((1, 2), (0, 2), (0, 1))]
    assert extent[0] > 3 * extent[1] == 3 * extent[2]
    assert voxels[:10].sum() > voxels[-10:].sum()  # the block is at the low end of x


def test_cube_rotations_permute_voxels():
    mesh = _lamp()
    voxels = voxelize(mesh, 32, supersample=2)
    for matrix in Rotation.create_group("O").as_matrix().round():
        turned = mesh.copy()
        turned.vertices = mesh.vertices @ matrix.T
        source = np.abs(matrix).argmax(axis=1)
        sign = matrix[np.arange(3), source].astype(int)
        expected = voxels.transpose(source)[tuple(slice(None, None, s) for s in sign)]
        # Only samples that lie on the surface itself may be rounded the other way.
        assert np.abs(voxelize(turned, 32, supersample=2) - expected).sum() < 1e-3 * voxels.sum()


@pytest.mark.parametrize("seed", range(3))
def test_any_rotation_turns_voxels_up_to_one_voxel(seed):
    mesh, size = _lamp(), 32
    matrix = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    turned = mesh.copy()
    turned.vertices = mesh.vertices @ matrix.T + np.array([100.0, -50, 7])
    found = voxelize(turned, size, supersample=2)
    place = np.stack(np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 3, indexing="ij"))
    source = np.einsum("ji,jxyz->ixyz", matrix, place) + (size - 1) / 2  # v(R^T p)
    expected = ndimage.map_coordinates(voxelize(mesh, size, supersample=2), source, order=1)
    one, other = found > 0.5, expected > 0.5
    assert (one & other).sum() / (one | other).sum() > 0.9
    whole = np.ones((3, 3, 3))
    assert not (one & ~ndimage.binary_dilation(other, whole)).any()
    assert not (other & ~ndimage.binary_dilation(one, whole)).any()


def test_position_and_scale_do_not_matter():
    mesh = _lamp()
    expected = voxelize(mesh, 32)
    moved = mesh.copy()
    moved.vertices = mesh.vertices * 1e-3 + 1e3
    assert np.abs(voxelize(moved, 32) - expected).sum() <= 1e-3 * expected.sum()


def test_no_voxel_reaches_outside_the_ball():
    for resolution in (15, 16, 32):
        voxels = voxelize(_lamp(), resolution, supersample=2)
        place = np.argwhere(voxels > 0) - (resolution - 1) / 2
        reach = np.linalg.norm(np.maximum(np.abs(place) - 0.5, 0), axis=1).max()
        assert reach <= RADIUS_FRACTION * resolution / 2


def test_open_box_is_filled_though_a_wall_is_missing_or_turned():
    box = trimesh.creation.box((1, 1, 1)).subdivide().subdivide()
    solid = voxelize(box, 32)
    wall = box.face_normals[:, 2] > 0.5
    hole = trimesh.Trimesh(box.vertices, box.faces[~wall], process=False)
    inside = voxelize(clean_mesh(hole).mesh, 32)
    # All of it, but for a dent under the missing wall where that wall would fill half the view.
    assert not (inside > solid).any()
    assert inside.sum() / solid.sum() > 0.85
    rng = np.random.default_rng(0)
    faces = box.faces.copy()
    some = rng.uniform(size=len(faces)) < 0.5
    faces[some] = faces[some][:, ::-1]
    mixed = trimesh.Trimesh(box.vertices, faces, process=False)
    np.testing.assert_array_equal(voxelize(clean_mesh(mixed).mesh, 32), solid)


def test_overlapping_parts_are_one_solid_though_one_is_inside_out():
    one = trimesh.creation.box((4, 2, 2))
    other = trimesh.creation.box((2, 5, 2), trimesh.transformations.translation_matrix((1, 1, 1)))
    expected = voxelize(trimesh.util.concatenate([one, other]), 32)
    other.invert()
    found = clean_mesh(trimesh.util.concatenate([one, other]))
    assert "inside_out" in found.quirks
    np.testing.assert_array_equal(voxelize(found.mesh, 32), expected)


def test_two_sided_faces_do_not_cancel():
    """As in half of ModelNet: every face is there twice, once from each side."""
    lamp = _lamp()
    doubled = np.concatenate([lamp.faces, lamp.faces[:, ::-1]])
    doubled = np.random.default_rng(0).permutation(doubled)
    found = clean_mesh(trimesh.Trimesh(lamp.vertices, doubled, process=False))
    assert found.counts["double_sided"] == len(lamp.faces)
    np.testing.assert_array_equal(voxelize(found.mesh, 32), voxelize(lamp, 32))


def test_shared_wall_of_two_solids_stays():
    left = trimesh.creation.box((1, 1, 1))
    right = trimesh.creation.box((1, 1, 1), trimesh.transformations.translation_matrix((1, 0, 0)))
    found = clean_mesh(trimesh.util.concatenate([left, right]))
    expected = voxelize(trimesh.creation.box((2, 1, 1)), 32)
    np.testing.assert_array_equal(voxelize(found.mesh, 32), expected)


@pytest.mark.parametrize("axis", [None, (1, 0, 0), (0, 1, 0), (1, 2, 3)])
@pytest.mark.parametrize("resolution, thickness", [(16, 0.8), (32, 0.5), (32, 1.6)])
def test_a_thin_plate_weighs_the_same_however_it_lies(resolution, thickness, axis):
    """A table's top of a hundredth of its size lies between two layers of samples, or in one."""
    shift = trimesh.transformations.translation_matrix
    top = trimesh.creation.box((100, 80, thickness), shift((0, 0, 60)))
    places = [(x, y, 30 - thickness / 2) for x in (-45, 45) for y in (-35, 35)]
    legs = [trimesh.creation.box((6, 6, 60), shift(place)) for place in places]
    turn = np.eye(4)
    if axis:
        angle = 0.7 if axis == (1, 2, 3) else np.pi / 2
        turn = trimesh.transformations.rotation_matrix(angle, axis)
    for mesh in (trimesh.util.concatenate([top, *legs]), top):
        expected = mesh.volume
        mesh.apply_transform(turn)
        voxel = 2 * enclosing_ball(mesh.vertices)[1] / (RADIUS_FRACTION * resolution)
        found = voxelize_part(mesh, resolution).sum() * voxel**3
        # Along the grid, by less than the layer that a column stands for; so are the legs.
        layer = 100 * 80 * voxel / {16: 55, 32: 34}[resolution]
        assert found == pytest.approx(expected, abs=layer + 0.03 * expected)


@pytest.mark.parametrize("name", ["sphere", "box", "torus", "lamp"])
def test_a_part_fills_voxels_as_many_samples_say(name):
    mesh = _lamp() if name == "lamp" else _solid(name)
    found, expected = voxelize_part(mesh, 16), voxelize(mesh, 16, supersample=20)
    assert found.dtype == np.float32 and 0 <= found.min() and found.max() <= 1
    # A sample is a twentieth of a voxel thick, a column stands for a fifty-fifth.
    assert np.abs(found - expected).max() < 1 / 20 + 1 / 55
    assert found.sum() == pytest.approx(expected.sum(), rel=0.01)


def test_what_overlaps_or_is_hollow_is_filled_as_by_samples():
    """Winding numbers of two, and of zero within a wall that faces inward."""
    one, other = trimesh.creation.icosphere(3, 1.0), trimesh.creation.icosphere(3, 0.7)
    other.apply_translation((0.6, 0.2, 0.1))
    both = trimesh.util.concatenate([one, other])
    other.invert()
    for mesh in (both, trimesh.util.concatenate([one, other])):
        difference = voxelize_part(mesh, 16) - voxelize(mesh, 16, supersample=8)
        assert np.abs(difference).mean() < 2e-3


def test_what_is_flat_or_open_encloses_nothing():
    flat = clean_mesh(trimesh.creation.box((1, 1, 1e-4))).mesh
    with pytest.raises(NothingInside):
        voxelize_part(flat, 8)
    plane = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    with pytest.raises(NothingInside):
        voxelize_part(clean_mesh(plane).mesh, 8)


def test_an_open_part_is_sampled():
    box = trimesh.creation.box((1, 1, 1)).subdivide()
    open_box = clean_mesh(trimesh.Trimesh(box.vertices, box.faces[2:], process=False)).mesh
    np.testing.assert_array_equal(voxelize_part(open_box, 16), voxelize(open_box, 16, 2))
    np.testing.assert_array_equal(voxelize_part(open_box, 16, 1), voxelize(open_box, 16, 1))


def test_flat_surface_encloses_nothing():
    plane = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    with pytest.raises(MeshError, match="plane.off: the mesh encloses no volume at resolution 16"):
        voxelize(clean_mesh(plane, "plane.off").mesh, 16)
    with pytest.raises(MeshError, match="no faces"):
        voxelize(trimesh.Trimesh(), 16)
    with pytest.raises(ValueError):
        voxelize(trimesh.creation.box(), 16, supersample=0)
    with pytest.raises(ValueError, match="0 has no voxels"):
        voxelize_part(trimesh.creation.box(), 0)
    with pytest.raises(MeshError, match="no faces"):
        voxelize_part(trimesh.Trimesh(), 16)


@pytest.mark.parametrize("resolution, supersample", [(16, 2), (32, 1)])
@pytest.mark.parametrize("name", ["bathtub_0001", "bathtub_0002", "bathtub_0004", "toilet_0345"])
def test_real_meshes_have_an_inside(modelnet10_dir, name, resolution, supersample):
    found = load_mesh(modelnet10_dir / "meshes" / f"{name}.off")
    assert "double_sided" in found.quirks
    voxels = voxelize(found.mesh, resolution, supersample)
    assert 0.03 < voxels.mean() < 0.3


def test_agrees_with_binvox(modelnet10_dir):
    """On binvox's own sample points: each of its solid voxels is one of ours, or next to one.

    The reverse does not hold: binvox leaves hollow what it can look into, as the toilet's foot,
    whose sheets the winding number fills.
    """
    with open(modelnet10_dir / "meshes" / "toilet_off_256.binvox", "rb") as file:
        header = parse_binvox(file)
    x, _, _ = header.shape
    runs = np.repeat(header.rle_data[::2], header.rle_data[1::2])
    solid = runs.reshape(x, x, x).transpose(0, 2, 1).astype(bool)  # stored as x, z, y
    every = np.arange(2, x, 4)
    solid = solid[np.ix_(every, every, every)]
    place = [header.translate[i] + (every + 0.5) / x * header.scale for i in range(3)]
    points = np.stack(np.meshgrid(*place, indexing="ij"), axis=-1).reshape(-1, 3)
    mesh = load_mesh(modelnet10_dir / "meshes" / "toilet_0345.off").mesh
    number = igl.fast_winding_number(
        mesh.vertices.view(np.ndarray), mesh.faces.view(np.ndarray), points
    )
    ours = (np.abs(number) > 0.5).reshape(solid.shape)
    assert (ours & solid).sum() / solid.sum() > 0.88
    assert (ndimage.binary_dilation(ours, np.ones((3, 3, 3))) & solid).sum() / solid.sum() > 0.95
    assert (ours & solid).sum() / (ours | solid).sum() > 0.6
