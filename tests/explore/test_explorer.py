"""Answers to a tab's messages: objects, uploads and what is wrong with them."""

import json

import numpy as np
import pytest
from explore.boxes import box_set, tiny_model
from faults.watch import Watch
from tiny_data import off_box

pytest.importorskip("igl")
trimesh = pytest.importorskip("trimesh")
from rotdis.explore import explorer, protocol  # noqa: E402  (need trimesh)
from rotdis.explore.protocol import Export, Open, Sample, Upload  # noqa: E402


@pytest.fixture(scope="module")
def exploring():
    return explorer.Explorer(tiny_model(), box_set(), "boxes", "tiny")


def _view(sequence=1, mode="infer"):
    fields = {"quaternion": [0, 0, 0, 1], "amounts": [0, 1], "upright": True}
    return protocol.parse(
        json.dumps({"kind": "view", "sequence": sequence, "mode": mode, **fields})
    )


def _ask(exploring, session, message):
    return protocol.unpack(exploring.answer(session, message))


def test_the_greeting_tells_what_the_controls_need(exploring):
    fields, _ = protocol.unpack(exploring.hello())
    assert fields["objects"][1] == {"class": "chair", "name": "box_0001"}
    assert fields["about"] == {"model": "tiny", "objects": "boxes"}
    assert len(fields["shares"]) == 4  # as many as the code has components
    assert fields["uploadLimit"] == explorer.UPLOAD_LIMIT and fields["turns"]


def test_an_object_and_what_is_inferred_of_it_come_as_surfaces(exploring):
    session = exploring.new_session()
    fields, arrays = _ask(exploring, session, Open(2))
    assert (fields["kind"], fields["name"]) == ("opened", "box_0002")
    vertices, faces = arrays["input/vertices"], arrays["input/faces"]
    assert 0.8 < np.linalg.norm(vertices, axis=1).max() < 1.1
    assert trimesh.Trimesh(vertices, faces).volume > 0  # wound outwards
    assert np.allclose(np.linalg.norm(arrays["input/normals"], axis=1), 1, atol=1e-3)
    fields, arrays = _ask(exploring, session, _view(9))
    assert (fields["kind"], fields["sequence"]) == ("shown", 9)
    assert fields["inference"]["moved"] < 0.1 and 0 <= fields["inference"]["iou"] <= 1
    assert len(arrays["canonical/vertices"]) > 20 and "decoded/faces" in arrays


def test_decoding_and_sampling_need_no_object(exploring):
    session = exploring.new_session()
    assert _ask(exploring, session, _view())[0]["kind"] == "error"
    assert _ask(exploring, session, Sample(3))[0]["kind"] == "sampled"
    fields, arrays = _ask(exploring, session, _view(mode="decode"))
    assert fields["inference"] is None and "decoded/vertices" in arrays


@pytest.mark.parametrize("file_type", explorer.UPLOAD_TYPES)
def test_meshes_of_every_kind_are_taken(exploring, file_type):
    content = trimesh.creation.box((1, 2, 3)).export(file_type=file_type)
    content = content.encode() if isinstance(content, str) else content
    session = exploring.new_session()
    fields, arrays = _ask(exploring, session, Upload(f"C:\\my\\box.{file_type}", content))
    assert (fields["kind"], fields["name"]) == ("opened", "box"), fields
    assert len(arrays["input/faces"]) > 20
    assert _ask(exploring, session, _view())[0]["kind"] == "shown"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("broken.off", b"OFF\n3 1 0\n0 0", "broken.off: line 3"),
        ("broken.glb", b"glTF\0\0", "broken.glb: cannot read it as glb"),
        ("flat.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "flat.off"),
        ("page.html", b"<html>", "page.html: not one of off, obj, stl, ply, glb"),
        ("../../etc/passwd", b"root", "passwd: not one of"),
        ("big.off", bytes(explorer.UPLOAD_LIMIT + 1), "big.off: is over the limit of 20 MB"),
    ],
)
def test_a_file_that_is_no_use_is_said_to_be_so_and_the_object_stays(
    exploring, name, content, message
):
    session = exploring.new_session()
    _ask(exploring, session, Open(0))
    fields, _ = _ask(exploring, session, Upload(name, content))
    assert fields["kind"] == "error" and fields["message"].startswith(message)
    assert session.name == "box_0000"
    assert _ask(exploring, session, _view())[0]["kind"] == "shown"


def test_a_mesh_reads_no_other_file(exploring, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.mtl").write_text("newmtl a\nmap_Kd secret.png\n")
    mesh = trimesh.creation.box().export(file_type="obj")
    opened = []
    monkeypatch.setattr("builtins.open", lambda *a, **k: opened.append(a) or (_ for _ in ()))
    content = f"mtllib {tmp_path}/secret.mtl\nusemtl a\n{mesh}".encode()
    voxels = explorer.read_upload("box.obj", content, 16)
    assert voxels.max() == 1 and not opened


def test_an_export_is_a_file_with_a_name(exploring):
    session = exploring.new_session()
    _ask(exploring, session, Upload("my box.off", off_box().encode()))
    assert _ask(exploring, session, Export(("input",), "stl"))[0]["kind"] == "error"
    _ask(exploring, session, _view())
    fields, arrays = _ask(exploring, session, Export(("input",), "stl"))
    assert (fields["kind"], fields["name"]) == ("file", "my box_input.stl")
    assert len(arrays["content"]) > 1000


@pytest.mark.parametrize("index", [-1, 6, 10**9])
def test_an_object_that_is_not_there_is_an_error(exploring, index):
    assert _ask(exploring, exploring.new_session(), Open(index))[0]["kind"] == "error"


def test_nothing_is_written_and_nothing_run_whatever_is_sent(exploring):
    """Nor need it a temporary folder: uploads are read, and exports made, in memory."""
    watch, session = Watch(), exploring.new_session()
    box = trimesh.creation.box((1, 2, 3))
    kinds = set()
    with watch() as seen:
        for name in ("a.off", "../../evil.off", "/etc/evil.off", "C:\\evil.off", "a\0.off"):
            kinds.add(_ask(exploring, session, Upload(name, off_box().encode()))[0]["kind"])
        for kind in explorer.UPLOAD_TYPES:
            content = box.export(file_type=kind)
            content = content.encode() if isinstance(content, str) else content
            for damaged in (content, content[: len(content) // 2], content[::-1]):
                message = Upload(f"../b.{kind}", damaged)
                kinds.add(_ask(exploring, session, message)[0]["kind"])
        _ask(exploring, session, _view())
        for form in ("glb", "obj", "stl"):
            export = Export(("input", "canonical"), form)
            kinds.add(_ask(exploring, session, export)[0]["kind"])
    assert kinds == {"opened", "error", "file"}
    assert not seen.changed and not seen.run
