"""Laws of exported models, on a tiny one: its file stands for the run, and changes are noticed."""

import ast
import importlib
import json
import shlex

import jax
import pytest
from tiny import tiny_config

pytest.importorskip("igl")
import rotdis  # noqa: E402
from rotdis import checkpoint, compatibility, inference, packaged, run_folder, step  # noqa: E402
from rotdis.config import base_config  # noqa: E402
from rotdis.errors import CheckpointError, UsageError  # noqa: E402
from rotdis.metrics import table  # noqa: E402
from rotdis.models import rotation_vae  # noqa: E402
from rotdis.packaged import archive, card, export, golden  # noqa: E402


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose averaged parameters are not those that it trains."""
    workdir = tmp_path_factory.mktemp("runs") / "tiny"
    config = tiny_config()
    state = step.init_state(rotation_vae.create(config), config)
    ema = jax.tree.map(lambda leaf: 1.5 * leaf, state.params)
    run_folder.save_config(workdir, config)
    checkpoints = checkpoint.Checkpoints(workdir)
    checkpoints.save(state.replace(step=state.step + 3, ema_params=ema))
    checkpoints.close()
    return workdir


@pytest.fixture(scope="module")
def exported(run):
    metrics = {"reconstruction/iou": 0.4, "reconstruction/iou/class/bed": 0.2}
    metrics |= {"data/test_objects": 7, "data/test_objects/class/bed": 3}
    table.write_metrics(run / "metrics.json", metrics)
    return export.export(run, run / "out" / "tiny.rotdis")


@pytest.fixture(scope="module")
def model(exported):
    return rotdis.load(exported)


def test_an_exported_model_answers_as_its_run_does(run, exported, model):
    stored, trained = archive.read(exported).golden, rotdis.load(run)
    assert model.config == trained.config
    difference = golden.differences(stored, golden._answers(trained, stored["voxels"]))
    assert all((difference[key] < golden.TOLERANCE[key]).all() for key in difference)


def test_golden_answers_hold_for_the_model_that_gave_them(exported, model):
    stored = archive.read(exported).golden
    assert golden.compare(model, stored) == []
    assert len(stored["voxels"]) == 4


@pytest.mark.parametrize(
    "part",
    [
        "pose/_Trunk_0/Dense_4/kernel",
        "second/_Trunk_0/Dense_4/kernel",
        "encoder/Dense_3/kernel",
        "decoder/Dense_2/kernel",
    ],
)
def test_a_change_of_any_part_of_the_model_breaks_its_golden_answers(exported, model, part):
    def change(path, leaf):
        name = "/".join(key.key for key in path)
        return leaf[::-1] if name == part else leaf

    names = jax.tree_util.tree_leaves_with_path(model.params)
    assert part in ["/".join(key.key for key in path) for path, _ in names]
    params = jax.tree_util.tree_map_with_path(change, model.params)
    changed = inference.Model(model.config, params)
    assert golden.compare(changed, archive.read(exported).golden)


def test_another_normalization_breaks_the_golden_answers(exported, model, monkeypatch):
    monkeypatch.setattr(golden.normalize, "RADIUS_FRACTION", 0.9)
    lines = golden.compare(model, archive.read(exported).golden)
    assert len(lines) == 1 and "normalized differently" in lines[0]


def test_a_field_added_later_does_not_matter_and_one_that_changes_the_parameters_is_told(
    exported, tmp_path, monkeypatch
):
    stored = archive.read(exported)
    del stored.config["pose"]["grid"]
    older = tmp_path / "older.rotdis"
    older.write_bytes(archive.pack(stored))
    assert rotdis.load(older).config.pose.grid == 16
    del stored.config["pose"]["width"]
    older.write_bytes(archive.pack(stored))
    monkeypatch.setitem(compatibility.BEFORE, "pose.width", 16)
    with pytest.raises(CheckpointError, match=r"older.rotdis.* differ in pose/\S+ \("):
        rotdis.load(older)


def test_a_file_beside_the_package_is_loaded_by_its_name(exported, monkeypatch, tmp_path):
    monkeypatch.setattr(packaged, "_FOLDER", exported.parent)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert packaged.names() == ("tiny",)
    assert rotdis.load("tiny").latent_size == 4
    with pytest.raises(CheckpointError, match="config.json"):
        rotdis.load("./tiny")
    with pytest.raises(CheckpointError, match=r"other: .*a string, .*\(there are: tiny\)"):
        rotdis.load("other")


def test_a_file_over_the_limit_is_refused_and_none_is_written(run, tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "make", lambda model: {})
    size = len(export._smallest(*inference.restore(run))[1])
    monkeypatch.setattr(export, "LIMIT", size - 1000)
    assert export._smallest(*inference.restore(run))[0] == "bfloat16"
    monkeypatch.setattr(export, "LIMIT", 10_000)
    with pytest.raises(CheckpointError, match="is the limit"):
        export.export(run, tmp_path / "big.rotdis")
    with pytest.raises(UsageError, match="name it NAME.rotdis"):
        export.export(run, tmp_path / "big.npz")
    assert not list(tmp_path.iterdir())


def test_the_card_has_every_section_and_is_not_overwritten(run, exported, monkeypatch):
    path = exported.with_suffix(".md")
    text = path.read_text()
    for heading in card.SECTIONS:
        assert f"## {heading}\n" in text
    assert "bed 0.2" in text and card.FILL_IN in text
    path.write_text("mine")
    monkeypatch.setattr(export, "_smallest", lambda *_: ("float16", exported.read_bytes()))
    export.export(run, exported)
    assert path.read_text() == "mine"


def test_nothing_of_the_machine_leaves_with_the_model():
    config = tiny_config()
    config.data.source, config.data.dir = "/home/me/modelnet10.npz", "/home/me/prepared"
    config.train.start_from = "/home/me/first.rotdis"
    values = export.shareable(config)
    assert values["data"]["source"] == "modelnet10.npz"
    assert values["train"]["start_from"] == "first.rotdis"
    assert "/home" not in json.dumps(values)
    assert config.data.source == "/home/me/modelnet10.npz"


def _card(config) -> str:
    return card.draft("mine", export.shareable(config), 3, {}, {}, "small.")


@pytest.mark.parametrize("file", ["furniture", "modelnet"])
def test_the_cards_command_gives_the_configuration_of_the_run(file):
    stated = importlib.import_module(f"configs.{file}").get_config
    config = stated()
    config.data.source = "furniture" if file == "furniture" else "/home/me/modelnet 10.npz"
    config.train.steps = base_config().train.steps
    config.frames.synchronize_at = (0.26, 0.55)
    config.frames.stretch = 0.0
    config.seed = 7
    block = _card(config).split("```bash\n")[1].split("```")[0]
    program, named, _, *options = shlex.split(block.replace("\\\n", ""))[2:]
    assert program == "rotdis.main" and named == f"--config=configs/{file}.py"
    again = stated()
    for option in options:
        key, value = option.removeprefix("--config.").split("=", 1)
        *path, field = key.split(".")
        section = again[path[0]] if path else again
        kind = type(section[field])
        section[field] = value if kind is str else kind(ast.literal_eval(value))
    assert again.to_dict() == export.shareable(config)


def test_the_card_says_of_no_other_data_that_they_are_modelnet_or_turned():
    config = tiny_config()
    config.data.source, config.data.rotations = "/home/me/parts", "none"
    text = _card(config)
    assert "ModelNet" not in text and f"{card.FILL_IN}: whose objects" in text
    assert "random rotations" not in text and "the source's alignment" in text
    config.data.source, config.data.rotations = "", "so3"
    assert "ModelNet (Wu et al." in _card(config) and "uniformly random rotations" in _card(config)


def test_metrics_of_other_data_are_not_the_card_s(run, exported, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "_smallest", lambda *_: ("float16", exported.read_bytes()))
    own = run_folder.load_config(run)
    run_folder.note_evaluation(run, own)
    try:
        export.export(run, tmp_path / "own.rotdis")
        assert "reconstruction/iou" in (tmp_path / "own.md").read_text()
        own.data.source = "other.npz"
        run_folder.note_evaluation(run, own)
        export.export(run, tmp_path / "other.rotdis")
        assert "not evaluated yet" in (tmp_path / "other.md").read_text()
        assert "is of other data than the run's own" in capsys.readouterr().out
    finally:
        (run / "evaluated.json").unlink()


def test_damaged_metrics_are_told_before_anything_is_written(run, tmp_path):
    whole = (run / "metrics.json").read_bytes()
    (run / "metrics.json").write_text("{")
    try:
        with pytest.raises(CheckpointError, match="metrics.json: is damaged .* --mode=evaluate"):
            export.export(run, tmp_path / "one.rotdis")
    finally:
        (run / "metrics.json").write_bytes(whole)
    assert not list(tmp_path.iterdir())
