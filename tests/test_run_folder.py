"""Laws of a run's folder: its configuration comes back or is refused, another run is refused."""

import errno
import json
import shlex
import subprocess

import ml_collections
import pytest
from tiny import tiny_config

from rotdis import run_folder
from rotdis.errors import CheckpointError, UsageError


def test_the_configuration_comes_back_whole(tmp_path):
    config = tiny_config()
    config.data.classes = ("chair", "bed")
    run_folder.save_config(tmp_path, config)
    assert run_folder.load_config(tmp_path).to_dict() == config.to_dict()


def test_another_run_is_refused_and_the_differing_keys_named(tmp_path):
    run_folder.save_config(tmp_path, tiny_config())
    run_folder.check_same_run(tmp_path, tiny_config())
    other = tiny_config()
    other.model.latent_size = 7
    other.optimizer.learning_rate = 0.5
    with pytest.raises(CheckpointError, match=r"model.latent_size \(4 there, 7 here\).*learning"):
        run_folder.check_same_run(tmp_path, other)
    with pytest.raises(CheckpointError, match=r"^it is another .* \(4 there, 7 here\)$"):
        run_folder.check_same_model("it", tiny_config(), other)
    other = tiny_config()
    other.data.dir, other.train.log_every, other.data.loader = "elsewhere", 5, "tfdata"
    run_folder.check_same_run(tmp_path, other)
    other.data.source = "other.npz"
    run_folder.check_same_model("it", tiny_config(), other)


def test_fewer_steps_than_were_done_are_refused_and_as_many_are_not(tmp_path):
    config = tiny_config()
    run_folder.save_config(tmp_path, config)
    (tmp_path / "checkpoints" / str(config.train.steps)).mkdir(parents=True)
    run_folder.check_same_run(tmp_path, config)
    config.train.steps -= 1
    with pytest.raises(CheckpointError, match=rf"stands at step {config.train.steps + 1} already"):
        run_folder.check_same_run(tmp_path, config)


def test_a_configuration_made_from_its_own_json_is_the_same_run(tmp_path):
    config = tiny_config()
    config.frames.synchronize_at = (0.25, 0.5)
    run_folder.save_config(tmp_path, config)
    saved = json.loads((tmp_path / "config.json").read_text())["config"]
    assert saved["frames"]["synchronize_at"] == [0.25, 0.5]
    run_folder.check_same_run(tmp_path, ml_collections.ConfigDict(saved))


def test_a_run_is_finished_once_it_was_evaluated_after_all_its_steps(tmp_path):
    config = tiny_config()
    run_folder.save_config(tmp_path, config)
    (tmp_path / "checkpoints" / str(config.train.steps - 1)).mkdir(parents=True)
    (tmp_path / "metrics.json").touch()
    assert not run_folder.is_finished(tmp_path)
    (tmp_path / "checkpoints" / str(config.train.steps)).mkdir()
    assert run_folder.is_finished(tmp_path)
    run_folder.note_evaluation(tmp_path, config)
    assert run_folder.is_finished(tmp_path)
    config.train.steps += 5
    run_folder.save_config(tmp_path, config)
    (tmp_path / "checkpoints" / str(config.train.steps)).mkdir()
    assert not run_folder.is_finished(tmp_path)  # trained on, but not evaluated again
    run_folder.note_evaluation(tmp_path, config)
    assert run_folder.is_finished(tmp_path)
    (tmp_path / "metrics.json").unlink()
    assert not run_folder.is_finished(tmp_path)


# Of each section a field, and the others that make another run.
@pytest.mark.parametrize(
    "field, value",
    [
        ("seed", 5),
        ("data.source", "other.npz"),
        ("data.seed", 5),
        ("data.rotations", "cube"),
        ("pose.width", 16),
        ("frames.neighbours", 9),
        ("loss.kl_weight", 0.5),
        ("search.steps", 9),
        ("optimizer.b2", 0.9),
        ("train.batch_size", 4),
        ("train.ema_decay", 0.9),
        ("train.start_from", "modelnet10"),
        ("train.hold_pose", True),
    ],
)
def test_what_makes_another_run_is_refused_by_name(tmp_path, field, value):
    run_folder.save_config(tmp_path, tiny_config())
    other = tiny_config()
    other.update_from_flattened_dict({field: value})
    with pytest.raises(CheckpointError, match=f"differs in {field} "):
        run_folder.check_same_run(tmp_path, other)


def test_where_its_objects_are_known_a_run_goes_on_wherever_they_lie(tmp_path):
    run_folder.save_config(tmp_path, tiny_config(), "these")
    moved = tiny_config()
    moved.data.source = "moved/there.npz"
    run_folder.check_same_run(tmp_path, moved)


def test_a_run_does_not_go_on_with_other_objects(tmp_path):
    run_folder.save_config(tmp_path, tiny_config(), "these")
    run_folder.check_same_objects(tmp_path, "these", "parts")
    with pytest.raises(CheckpointError, match="trained on other objects than parts gives now"):
        run_folder.check_same_objects(tmp_path, "others", "parts")
    run_folder.save_config(tmp_path, tiny_config())  # as earlier versions did
    run_folder.check_same_objects(tmp_path, "others", "parts")


def test_a_configuration_that_cannot_be_read_is_not_said_to_be_damaged(tmp_path, monkeypatch):
    run_folder.save_config(tmp_path, tiny_config())

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refused)
    with pytest.raises(CheckpointError, match=r"cannot be read \(Permission denied\)$"):
        run_folder.load_config(tmp_path)


def test_where_frames_are_found_a_run_is_logged_as_often_as_before(tmp_path):
    """Which step a share of the run is depends on it: a search would be skipped, or come twice."""
    config = tiny_config()
    config.frames.synchronize_at = (0.5,)
    run_folder.save_config(tmp_path, config)
    config.train.log_every += 1
    with pytest.raises(CheckpointError, match="train.log_every"):
        run_folder.check_same_run(tmp_path, config)


@pytest.mark.parametrize("name", ["lr[1e-3]", "[lab]/run", "a\\b"])
def test_a_name_under_which_orbax_finds_nothing_again_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="--workdir: .*brackets or a backslash"):
        run_folder.check_name(tmp_path / name)
    run_folder.check_name(tmp_path / "a[b, 1e-3 *?")


def test_a_run_of_another_length_may_find_frames_at_other_shares_of_it(tmp_path):
    run_folder.save_config(tmp_path, tiny_config())
    other = tiny_config()
    other.frames.synchronize_at = (0.25, 0.5)
    with pytest.raises(CheckpointError, match="frames.synchronize_at"):
        run_folder.check_same_run(tmp_path, other)
    other.train.steps *= 2
    run_folder.check_same_run(tmp_path, other)
    other.frames.neighbours += 1
    with pytest.raises(CheckpointError, match="frames.neighbours"):
        run_folder.check_same_run(tmp_path, other)


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "not a configuration"),
        ("[]", "not a configuration"),
        (b"\xff\xfe", "not a configuration"),
        (json.dumps({"format": "1", "config": {}}), "not a configuration"),
        (json.dumps({"format": 99, "config": {}}), "format 99, which is newer .* upgrade"),
        (json.dumps({"format": 1, "config": {}}), "format 1, which is too old .* train anew"),
    ],
)
def test_an_unreadable_configuration_is_named(tmp_path, content, message):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        run_folder.load_config(tmp_path)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="holds no training run"):
        run_folder.load_config(tmp_path)


def test_a_changed_configuration_is_refused_and_its_copy_can_be_put_back(tmp_path):
    run_folder.save_config(tmp_path, tiny_config())
    path, copy = tmp_path / "config.json", tmp_path / "checkpoints" / "7" / "config.json"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(path.read_bytes())
    path.write_text(path.read_text().replace('"latent_size": 4', '"latent_size": 5'))
    with pytest.raises(CheckpointError, match="differs from its checksum; there is a copy") as info:
        run_folder.load_config(tmp_path)
    subprocess.run(shlex.split(str(info.value).rpartition("copy: ")[2]), check=True)
    assert run_folder.load_config(tmp_path).model.latent_size == 4
    path.unlink()
    with pytest.raises(CheckpointError, match="is missing; there is a copy"):
        run_folder.load_config(tmp_path)


def test_a_configuration_without_a_checksum_is_read_as_before_there_were_any(tmp_path):
    config = tiny_config()
    content = {"format": run_folder.FORMAT, "config": config.to_dict()}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert run_folder.load_config(tmp_path).to_dict() == config.to_dict()


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    with run_folder.occupied(tmp_path / "run"):
        with pytest.raises(CheckpointError, match="another process trains in .*run"):
            with run_folder.occupied(tmp_path / "run"):
                pass
        with run_folder.occupied(tmp_path / "other"):
            pass
    with run_folder.occupied(tmp_path / "run"):
        pass
