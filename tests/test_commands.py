"""Which model a mode uses, and where it writes."""

import types

import pytest
import untrained
from tiny import tiny_config

pytest.importorskip("igl")
from rotdis import align, commands, gallery, inference, packaged, run_folder  # noqa: E402
from rotdis.errors import CheckpointError, RotdisError, UsageError  # noqa: E402
from rotdis.evaluate import Evaluation  # noqa: E402
from rotdis.packaged import export  # noqa: E402


@pytest.fixture
def written(monkeypatch):
    """Where things would have been written."""
    places = []
    monkeypatch.setattr(inference, "load", lambda source: source)
    monkeypatch.setattr(
        gallery, "write_gallery", lambda _, place, *rest, **more: places.append(place)
    )
    monkeypatch.setattr(align, "align", lambda _, source, place, **more: places.append(place))
    monkeypatch.setattr(export, "export", lambda _, place: places.append(place))
    return places


def test_a_run_is_written_into_unless_told_otherwise(written, tmp_path):
    run = tmp_path / "chairs"
    run.mkdir()
    commands.run("generate", None, str(run))
    commands.run("generate", None, str(run), output=str(tmp_path / "else"))
    commands.run("align", None, str(run), input_path="parts")
    commands.run("export", None, str(run))
    places = [run / "generated", tmp_path / "else", run / "aligned", run / "chairs.rotdis"]
    assert written == places


def test_a_tilde_is_the_home_folder_also_behind_an_equals_sign(written, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    commands.run("align", None, "~/run", input_path="~/parts", output="~/out")
    commands.run("align", None, "~/run", input_path="~/parts")
    assert written == [tmp_path / "out", tmp_path / "run" / "aligned"]


def test_a_model_that_is_no_folder_needs_to_be_told_where(written, tmp_path, monkeypatch):
    (tmp_path / "known.rotdis").touch()
    monkeypatch.setattr(packaged, "_FOLDER", tmp_path)
    for model in (tmp_path / "known.rotdis", "known"):
        with pytest.raises(RotdisError, match="--output: say where"):
            commands.run("generate", None, str(model))
        commands.run("generate", None, str(model), output=str(tmp_path / "out"))
    assert written == [tmp_path / "out"] * 2


def test_an_evaluation_searches_and_refines_poses_as_its_configuration_says(tmp_path, monkeypatch):
    seen, split = [], untrained.objects()

    def evaluated(model, test, train, **_):
        assert (test, *train) == (data.test, "training", "validation")  # no copy of either
        settings = model.config
        seen.append((settings.pose.refine_steps, settings.search.steps, settings.data.rotations))
        return Evaluation({"data/test_objects": 1}, None)

    saved, given = tiny_config(), tiny_config()
    given.pose.refine_steps, given.search.steps, given.data.rotations = 3, 5, "cube"
    run_folder.save_config(tmp_path, saved)
    data = types.SimpleNamespace(train="training", validation="validation", test=split)
    monkeypatch.setattr(inference, "load", lambda _: inference.Model(saved, {}))
    monkeypatch.setattr(commands.prepare, "prepare", lambda _: data)
    monkeypatch.setattr(commands.evaluate, "evaluate", evaluated)
    for config in (None, given):
        commands.run("evaluate", config, str(tmp_path))
    assert seen == [(0, saved.search.steps, "so3"), (3, 5, "cube")]
    assert saved.pose.refine_steps == 0
    # A packaged model too, but not into the installation; and as none that it is not.
    with pytest.raises(UsageError, match="--output: say where"):
        commands.run("evaluate", given, "modelnet10")
    commands.run("evaluate", given, "modelnet10", output=str(tmp_path / "out"))
    assert (tmp_path / "out" / "metrics.json").exists() and len(seen) == 3
    given.model.latent_size += 1
    with pytest.raises(CheckpointError, match="modelnet10 is another model .*latent_size"):
        commands.run("evaluate", given, "modelnet10", output=str(tmp_path / "out"))


def test_a_declared_symmetry_of_no_class_is_told_of(capsys):
    commands._tell_of_idle_symmetries(("table:C2", "tabel:C4", "bar:C2"), ("bar", "slab"))
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith("eval.symmetries: 'tabel' is no class of the data (bar, slab)")


@pytest.mark.parametrize("mode", ["reconstruct", "align", "generate"])
def test_meshes_are_posed_as_the_configuration_says(mode, tmp_path, monkeypatch):
    models = []
    saved, given = tiny_config(), tiny_config()
    given.pose.refine_steps = 3
    monkeypatch.setattr(inference, "load", lambda _: inference.Model(saved, {}))
    for place in ("reconstruct.reconstruct", "align.align", "gallery.write_gallery"):
        monkeypatch.setattr(f"rotdis.{place}", lambda model, *_, **__: models.append(model))
    monkeypatch.setattr(gallery, "load_objects", lambda *_: {})
    for config in (None, given):
        commands.run(mode, config, str(tmp_path), input_path="parts")
    assert [model.config.pose.refine_steps for model in models] == [0, 3]
    given.model.latent_size += 1
    with pytest.raises(CheckpointError, match="another model .*latent_size"):
        commands.run(mode, given, str(tmp_path), input_path="parts")


def test_a_folder_of_no_name_is_none(tmp_path):
    with pytest.raises(UsageError, match="--workdir"):
        commands.run("train", tiny_config(), "")
    for mode in ("reconstruct", "align"):
        with pytest.raises(UsageError, match="--input"):
            commands.run(mode, None, str(tmp_path), input_path="")


def test_an_export_takes_no_configuration(tmp_path):
    with pytest.raises(UsageError, match="--config: is not for --mode=export"):
        commands.run("export", tiny_config(), str(tmp_path))


@pytest.mark.parametrize("mode", ["evaluate", "reconstruct", "align", "generate"])
def test_an_output_that_is_a_file_is_refused_before_the_work(mode, tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="--output: .*file is a file; results need a folder"):
            commands.run(mode, None, "modelnet10", "parts", str(output))


def test_a_run_in_a_file_is_refused_before_the_data_are_prepared(tmp_path):
    (tmp_path / "file").touch()
    for workdir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="--workdir: .*file is a file; a run needs a folder"):
            commands.run("train", tiny_config(), str(workdir))


def test_a_model_without_its_data_needs_to_be_told_on_which(tmp_path):
    with pytest.raises(UsageError, match="--config: say on which data; modelnet10 was trained on"):
        commands.run("evaluate", None, "modelnet10", output=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", ["train", "report", "export"])
def test_the_name_of_a_packaged_model_is_no_run(mode, tmp_path, monkeypatch):
    (tmp_path / "known.rotdis").touch()
    monkeypatch.setattr(packaged, "_FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    config = tiny_config() if mode == "train" else None
    with pytest.raises(UsageError, match="known is the name of a model .* say ./known"):
        commands.run(mode, config, "known", output="known.rotdis")


def test_a_name_of_both_a_packaged_model_and_a_run_is_neither(tmp_path, monkeypatch):
    (tmp_path / "known.rotdis").touch()
    monkeypatch.setattr(packaged, "_FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded = []
    monkeypatch.setattr(commands, "evaluate_model", lambda workdir, *_: loaded.append(workdir))
    (tmp_path / "known").mkdir()
    commands.run("evaluate", None, "known", output="out")
    run_folder.save_config(tmp_path / "known", tiny_config())
    with pytest.raises(UsageError, match="say ./known"):
        commands.run("evaluate", None, "known", output="out")
    commands.run("evaluate", None, "./known", output="out")
    assert loaded == ["known", "./known"]


def test_a_model_is_explored_on_this_machine_alone_unless_told_otherwise(monkeypatch, tmp_path):
    pytest.importorskip("websockets")
    from rotdis.explore import explorer, objects, server

    served = []
    model = inference.Model(tiny_config(), {})
    monkeypatch.setattr(inference, "load", lambda _: model)
    monkeypatch.setattr(objects, "choose", lambda data: ((data.resolution,), "objects"))
    monkeypatch.setattr(explorer, "Explorer", lambda _, *rest: rest)
    monkeypatch.setattr(server, "run", lambda *arguments: served.append(arguments))
    run = tmp_path / "chairs"
    run.mkdir()
    commands.run("explore", None, str(run))
    page = commands.Page("0.0.0.0", 1234, open_browser=False)
    commands.run("explore", None, "known", page=page)
    assert served == [
        (((16,), "objects", "chairs"), "127.0.0.1", 8765, True),
        (((16,), "objects", "known"), "0.0.0.0", 1234, False),
    ]
