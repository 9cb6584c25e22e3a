"""Mesh files are found and named, and nothing of the user's is ever overwritten."""

import errno

import pytest

from rotdis import mesh_files
from rotdis.errors import DataError, RotdisError


def test_meshes_are_found_in_subfolders_and_results_are_not(tmp_path):
    for name in ("b/x.OBJ", "a.stl", "c.txt", "._a.stl", "out/a.stl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    paths = mesh_files.find_meshes(tmp_path, tmp_path / "out")
    assert mesh_files.relative_names(paths, tmp_path) == ["a.stl", "b/x.OBJ"]
    # An output around the input leaves nothing out.
    assert len(mesh_files.find_meshes(tmp_path / "b", tmp_path)) == 1
    with pytest.raises(DataError, match="holds no mesh"):
        (tmp_path / "empty").mkdir()
        mesh_files.find_meshes(tmp_path / "empty")


@pytest.mark.parametrize(
    "names, mesh_format, expected",
    [
        (["a.stl", "a.obj", "b/a.stl"], None, ["a.stl", "a.obj", "b/a.stl"]),
        (["a.stl", "c.obj"], "ply", ["a.ply", "c.ply"]),
        (["a.stl", "a.obj", "a.ply"], "ply", ["a.stl.ply", "a.obj.ply", "a.ply"]),
        (["a.stl", "a.obj", "a.stl.ply"], "ply", ["a.stl.ply", "a.obj.ply", "a.stl_2.ply"]),
        (["A.stl", "a.stl"], None, ["A.stl", "a_2.stl"]),
        (["a.binvox", "b.binvox", "b.ply"], None, ["a.ply", "b.binvox.ply", "b.ply"]),
    ],
)
def test_no_two_results_are_called_alike(names, mesh_format, expected):
    found = mesh_files.output_names(names, mesh_format)
    assert found == expected


def test_an_original_is_never_overwritten(tmp_path):
    (tmp_path / "b" / "b").mkdir(parents=True)
    original = tmp_path / "b" / "x.obj"
    original.touch()
    with pytest.raises(RotdisError, match="is the input"):
        mesh_files.prepare_output(tmp_path, tmp_path, [original], [])
    with pytest.raises(RotdisError, match="would be overwritten"):
        mesh_files.prepare_output(tmp_path / "b" / "b", tmp_path, [original], ["b/x.obj"])
    with pytest.raises(RotdisError, match="is a file"):
        mesh_files.prepare_output(tmp_path / "b", original, [original], [])


def test_what_was_said_of_earlier_results_goes_before_the_first_new_one(tmp_path):
    output = tmp_path / "out"
    mesh_files.prepare_output(tmp_path / "in", output, [], ["canonical/a.stl"])
    for name in ("poses.json", "codes.npz", "report.json", "overview.png", "kept.txt"):
        (output / name).touch()
    mesh_files.prepare_output(tmp_path / "in", output, [], ["canonical/a.stl"])
    assert [path.name for path in output.iterdir() if path.suffix != ".json"] == ["kept.txt"]


@pytest.mark.parametrize("theirs", ["a.stl", "sub/b.stl", "report.json", "overview.png"])
def test_a_file_of_the_users_is_never_overwritten(tmp_path, theirs):
    (tmp_path / theirs).parent.mkdir(exist_ok=True)
    (tmp_path / theirs).write_text("theirs")
    (tmp_path / "other.txt").write_text("in nobody's way")
    with pytest.raises(RotdisError, match=f"{theirs} is there already"):
        mesh_files.prepare_output(tmp_path / "in", tmp_path, [], ["a.stl", "sub/b.stl"])
    assert (tmp_path / theirs).read_text() == "theirs"
    # Elsewhere than where results go it is no hindrance.
    mesh_files.prepare_output(tmp_path / "in", tmp_path / "out", [], ["a.stl", "sub/b.stl"])


def test_a_copy_replaces_no_other_file_of_the_users(tmp_path):
    source, output = tmp_path / "in" / "a.png", tmp_path / "out"
    for path, content in ((source, "ours"), (output / "a.png", "theirs")):
        path.parent.mkdir()
        path.write_text(content)
    with pytest.raises(RotdisError, match="a.png is there already"):
        mesh_files.prepare_output(tmp_path / "in", output, [], [], {"a.png": source})
    (output / "a.png").write_text("ours")  # as an earlier version may have left it
    mesh_files.prepare_output(tmp_path / "in", output, [], [], {"a.png": source})
    # From now on it is a result, and may become another.
    source.write_text("changed")
    mesh_files.prepare_output(tmp_path / "in", output, [], [], {"a.png": source})


def test_results_of_a_call_that_was_killed_are_results_all_the_same(tmp_path, capsys):
    planned = ["a.stl", "b.stl"]
    mesh_files.prepare_output(tmp_path / "in", tmp_path / "out", [], planned)
    (tmp_path / "out" / "a.stl").touch()  # and then it was killed
    mesh_files.prepare_output(tmp_path / "in", tmp_path / "out", [], planned)
    assert not capsys.readouterr().out
    mesh_files.prepare_output(tmp_path / "in", tmp_path / "out", [], ["b.stl"])
    assert "out: files of an earlier call stay: 1, such as a.stl" in capsys.readouterr().out
    with pytest.raises(DataError, match="holds no mesh"):
        mesh_files.find_meshes(tmp_path)
    (tmp_path / "c.stl").touch()
    assert mesh_files.find_meshes(tmp_path) == [tmp_path / "c.stl"]
    assert "left out, as results of earlier calls: 1, such as" in capsys.readouterr().out
    # But asked for, they are an input as any other.
    assert mesh_files.find_meshes(tmp_path / "out") == [tmp_path / "out" / "a.stl"]


def test_what_is_removed_is_a_result_no_more_unless_it_will_be_written_anew(tmp_path):
    mesh_files.claim(tmp_path, ["a.ply", "b.ply", "c.ply"])
    for name in "abc":
        (tmp_path / f"{name}.ply").touch()
    mesh_files.remove(tmp_path, ["a.ply", "b.ply"], planned=["b.ply"])
    assert [(tmp_path / f"{name}.ply").exists() for name in "abc"] == [False, False, True]
    assert mesh_files.recorded(tmp_path) == {"b.ply", "c.ply"}


def test_an_output_that_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(errno.EACCES, "Permission denied")

    mesh_files.prepare_output(tmp_path / "in", tmp_path, [], [])
    monkeypatch.setattr(mesh_files.atomic.tempfile, "TemporaryFile", refuse)
    (tmp_path / "poses.json").touch()
    with pytest.raises(RotdisError, match="--output: cannot write .*Permission denied"):
        mesh_files.prepare_output(tmp_path / "in", tmp_path, [], [])
    assert (tmp_path / "poses.json").exists()
