"""Laws of one tab's state: what turning and reshaping change, what they leave, what is exported."""

import io

import numpy as np
import pytest
from explore.boxes import box_set, tiny_model
from scipy.spatial.transform import Rotation

pytest.importorskip("igl")
trimesh = pytest.importorskip("trimesh")
from rotdis.explore import objects  # noqa: E402  (needs trimesh)
from rotdis.explore.session import COLORS, EXPORT_FORMATS, Session  # noqa: E402
from rotdis.geometry import so3  # noqa: E402

_ASKEW = Rotation.from_euler("xyz", [20, -50, 70], degrees=True).as_matrix().astype(np.float32)


@pytest.fixture(scope="module")
def parts():
    model, boxes = tiny_model(), box_set()
    return model, objects.directions(objects.encode(model, boxes)), boxes.voxels(slice(0, 2))


@pytest.fixture
def session(parts):
    model, directions, voxels = parts
    session = Session(model, directions)
    session.open("box", voxels[0])
    return session


@pytest.mark.parametrize("upright", [False, True])
def test_the_cubes_rotations_leave_the_canonical_form_where_it_is(session, upright):
    first = session.infer(np.eye(3), upright=upright)
    for rotation in so3.cube_group():
        shown = session.infer(rotation, upright=upright)
        assert np.allclose(
            shown.volumes["canonical"], first.volumes["canonical"], rtol=0, atol=1e-4
        )
        assert shown.inference.overlap == 1
        assert shown.inference.iou == pytest.approx(first.inference.iou, abs=0.02)
        assert shown.inference.moved < 0.05


def test_upright_it_stands_as_the_object_came(session):
    canonical = session.infer(np.eye(3), upright=True).volumes["canonical"]
    assert np.allclose(canonical, session.voxels, atol=1e-5)


def test_however_it_is_shown_the_canonical_form_is_exported_in_the_canonical_frame(session, parts):
    model, _, voxels = parts
    code = model.encode(voxels[:1])
    session.infer(np.eye(3), upright=True)
    seen, exported = session.shown.volumes["canonical"], session.shown.canonical()
    assert np.allclose(exported, model.canonicalize(voxels[:1])[0], atol=1e-4)
    assert not np.allclose(exported, seen, atol=0.1)
    upright = session.export(["canonical"], "stl")
    session.infer(np.eye(3))
    assert np.array_equal(session.shown.volumes["canonical"], exported)
    assert session.export(["canonical"], "stl") == upright
    for upright in (True, False):
        shown = session.decode(_ASKEW, upright=upright)
        expected = model.decode(code.z_mean, np.eye(3, dtype=np.float32)[None])[0]
        assert np.allclose(shown.canonical(), expected, atol=1e-4)
        assert np.array_equal(shown.canonical(), shown.volumes["canonical"]) != upright


def test_the_input_is_turned_and_the_reconstruction_is_decoded_at_the_inferred_pose(session, parts):
    shown = session.infer(_ASKEW)
    model, _, voxels = parts
    code = model.encode(shown.volumes["input"][None])
    assert not np.allclose(shown.volumes["input"], voxels[0], atol=0.1)
    expected = model.decode(code.z_mean, code.rotation)[0]
    assert np.allclose(shown.volumes["decoded"], expected, atol=1e-5)
    angle = Rotation.from_matrix(
        code.rotation[0].T @ _ASKEW @ model.encode(voxels[:1]).rotation[0]
    ).magnitude()
    assert shown.inference.moved == pytest.approx(np.degrees(angle), abs=0.1)


def test_hypotheses_come_by_weight(session):
    weights = [each.weight for each in session.infer(_ASKEW).inference.hypotheses]
    assert weights == sorted(weights, reverse=True) and 0 < sum(weights) <= 1 + 1e-5
    assert len(weights) == 4


def test_a_shift_along_a_direction_changes_the_decoded_form_alone(session):
    plain, shifted = session.infer(_ASKEW), session.infer(_ASKEW, (0, 3))
    assert not np.allclose(plain.volumes["decoded"], shifted.volumes["decoded"], atol=1e-4)
    assert np.array_equal(plain.volumes["canonical"], shifted.volumes["canonical"])
    again = session.infer(_ASKEW, (0, 0))
    assert np.array_equal(again.volumes["decoded"], plain.volumes["decoded"])


def test_decoding_turns_the_shape_last_inferred_and_infers_nothing(session, parts):
    model, _, voxels = parts
    session.infer(_ASKEW)
    code = model.encode(session.shown.volumes["input"][None])
    first = session.decode(np.eye(3))
    turned = session.decode(_ASKEW)
    assert turned.inference is None and set(turned.volumes) == {"canonical", "decoded"}
    assert np.array_equal(first.volumes["canonical"], turned.volumes["canonical"])
    assert np.allclose(
        turned.volumes["decoded"], model.decode(code.z_mean, _ASKEW[None])[0], atol=1e-5
    )


def test_a_sample_is_another_shape_and_repeats_with_its_seed(session):
    session.infer(np.eye(3))
    inferred = session.decode(np.eye(3)).volumes["decoded"]
    session.sample(1)
    one = session.decode(np.eye(3)).volumes["decoded"]
    session.sample(2)
    session.sample(1)
    assert np.array_equal(session.decode(np.eye(3)).volumes["decoded"], one)
    assert not np.allclose(one, inferred, atol=1e-4)


def test_sessions_share_nothing_but_the_model(session, parts):
    model, directions, voxels = parts
    other = Session(model, directions)
    other.open("another", voxels[1])
    before = session.infer(_ASKEW).volumes["canonical"]
    other.infer(np.eye(3), (2,))
    assert np.array_equal(session.infer(_ASKEW).volumes["canonical"], before)


@pytest.mark.parametrize("file_format", EXPORT_FORMATS)
def test_what_is_shown_is_exported(session, file_format):
    session.infer(_ASKEW)
    content = session.export(("input",), file_format)
    mesh = trimesh.load_mesh(io.BytesIO(content), file_type=file_format)
    assert mesh.is_watertight and mesh.volume > 0
    assert 0.8 < np.linalg.norm(mesh.vertices, axis=1).max() < 1.1


def test_several_parts_are_exported_side_by_side_and_coloured(session):
    session.infer(_ASKEW)
    content = session.export(("input", "canonical"), "glb")
    scene = trimesh.load_scene(io.BytesIO(content), file_type="glb")
    assert set(scene.geometry) == {"input", "canonical"}
    colors = [tuple(m.visual.material.baseColorFactor) for m in scene.geometry.values()]
    # Linear, as glTF has them: as bytes back in sRGB, they are those of the page.
    srgb = [1.055 * (np.asarray(c[:3]) / 255) ** (1 / 2.4) - 0.055 for c in colors]
    np.testing.assert_allclose(srgb, [COLORS["input"], COLORS["canonical"]], atol=0.01)
    both = trimesh.load_mesh(
        io.BytesIO(session.export(("input", "canonical"), "stl")), file_type="stl"
    )
    assert len(both.split()) == 2 and both.extents[0] > 2.3


def test_nothing_is_exported_where_nothing_is_shown(session):
    with pytest.raises(ValueError, match="there is no input to export now"):
        session.export(("input",), "glb")
    session.infer(_ASKEW)
    with pytest.raises(ValueError, match="none of glb"):
        session.export(("input",), "exe")
