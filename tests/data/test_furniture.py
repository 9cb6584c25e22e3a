"""The embedded furniture: closed parts, seeded objects, no two alike, each with a front."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest

from rotdis.data import furniture
from rotdis.data.furniture import parts
from rotdis.errors import DataError

trimesh = pytest.importorskip("trimesh")
igl = pytest.importorskip("igl")

SEEDS = [furniture.object_seed("train", "chair", index, 3) for index in range(40)]


def occupancy(mesh, resolution: int = 20) -> np.ndarray:
    """Solid voxels of a mesh around the centre of its bounding box, scaled to fit every turn."""
    vertices = mesh.vertices - mesh.bounds.mean(0)
    vertices = vertices * (0.475 * resolution / np.linalg.norm(vertices, axis=1).max())
    axis = np.arange(resolution) - (resolution - 1) / 2
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    winding = igl.fast_winding_number(np.ascontiguousarray(vertices), mesh.faces, points)
    return (np.abs(winding) > 0.5).reshape((resolution,) * 3)


def fingerprint() -> str:
    vertices = [furniture.make_object(name, 7).vertices for name in furniture.CLASSES]
    return hashlib.sha256(np.concatenate(vertices).tobytes()).hexdigest()


@pytest.mark.parametrize("class_name", furniture.CLASSES)
def test_every_part_is_closed_and_wound_outwards(class_name):
    for seed in SEEDS:
        for part in furniture.make_parts(class_name, seed):
            mesh = trimesh.Trimesh(part.vertices, part.faces, process=False)
            assert mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0


@pytest.mark.parametrize("class_name", furniture.CLASSES)
def test_welding_vertices_fuses_no_parts(class_name):
    for seed in SEEDS[:10]:
        mesh = furniture.make_object(class_name, seed)
        before = mesh.body_count
        mesh.merge_vertices()
        assert before == mesh.body_count == len(furniture.make_parts(class_name, seed))


@pytest.mark.parametrize("class_name", furniture.CLASSES)
def test_no_two_objects_of_a_class_are_alike(class_name):
    seeds = [
        furniture.object_seed(split, class_name, index, 0)
        for split, index in itertools.product(furniture.SPLITS, range(15))
    ]
    grids = [occupancy(furniture.make_object(class_name, seed)) for seed in seeds]
    assert len({grid.tobytes() for grid in grids}) == len(seeds)
    assert min(grid.mean() for grid in grids) > 0.005


@pytest.mark.parametrize("class_name", [c for c in furniture.CLASSES if c != "table"])
def test_the_front_differs_from_the_back(class_name):
    overlaps = []
    for seed in SEEDS[:8]:
        grid = occupancy(furniture.make_object(class_name, seed))
        turned = grid[::-1, ::-1]
        overlaps.append((grid & turned).sum() / (grid | turned).sum())
    assert np.median(overlaps) < 0.9


def test_objects_stand_upright_and_face_minus_y():
    """What is higher than the seat is behind the sitter; a toilet's tank is behind its bowl."""
    for class_name in ("chair", "sofa", "toilet"):
        behind = []
        for seed in SEEDS:
            mesh = furniture.make_object(class_name, seed)
            height = mesh.bounds[1, 2] - mesh.bounds[0, 2]
            upper = mesh.vertices[:, 2] > mesh.bounds[0, 2] + 0.85 * height
            behind.append(mesh.vertices[upper, 1].mean() > mesh.bounds.mean(0)[1])
        assert np.mean(behind) > 0.9, class_name


def test_the_same_seed_gives_the_same_object_in_another_process():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_furniture as t; "
    command = [sys.executable, "-c", code + "print(t.fingerprint())", __file__.rpartition("/")[0]]
    other = subprocess.run(command, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == fingerprint()


def test_seeds_of_splits_classes_indices_and_datasets_are_disjoint():
    arguments = list(
        itertools.product(
            furniture.SPLITS, furniture.CLASSES, (0, 1, 2, 77, 2**32 - 1), (0, 1, 2, 19, 2**31)
        )
    )
    assert len({furniture.object_seed(*these) for these in arguments}) == len(arguments)


@pytest.mark.parametrize(
    "call",
    [
        lambda: furniture.make_object("lamp", 0),
        lambda: furniture.object_seed("validation", "chair", 0, 0),
        lambda: furniture.object_seed("train", "lamp", 0, 0),
        lambda: furniture.object_seed("train", "chair", -1, 0),
        lambda: furniture.object_seed("train", "chair", 0, -1),
    ],
)
def test_unknown_names_and_numbers_out_of_range_are_refused(call):
    with pytest.raises(DataError):
        call()


def test_a_mitred_tube_holds_its_section_times_its_length():
    path = [(0, 0, 0), (0, 0, 1), (-1, 0, 1), (-1, 0, 0.2), (-1, 1, 0.2)]
    tube = parts.tube(path, radius=0.1, sides=8)
    section = 8 / 2 * 0.1**2 * np.sin(np.pi / 4)
    mesh = trimesh.Trimesh(tube.vertices, tube.faces, process=False)
    np.testing.assert_allclose(mesh.volume, section * 3.8, rtol=1e-6)


@pytest.mark.parametrize(("axis", "vector"), [("x", [1, 0, 0]), ("y", [0, 1, 0]), ("z", [0, 0, 1])])
def test_turning_a_part_rotates_it_by_the_right_hand_rule(axis, vector):
    rotation = trimesh.transformations.rotation_matrix(0.7, vector, [0.1, 0.2, 0.3])
    part = parts.box((0, 1), (0, 2), (0, 3))
    expected = trimesh.transform_points(part.vertices, rotation)
    np.testing.assert_allclose(
        part.turned(axis, 0.7, (0.1, 0.2, 0.3)).vertices, expected, atol=1e-12
    )
