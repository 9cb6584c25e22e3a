"""A run's folder: `config.json`, and below `checkpoints/` a folder for every step that is saved.

`checkpoint` writes and reads the latter; here is what can be said without.
"""

import contextlib
import fcntl
import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import ml_collections

from rotdis import atomic, compatibility
from rotdis.config import base_config
from rotdis.errors import CheckpointError, UsageError
from rotdis.step import frames_are_used

FORMAT = 2  # of the folder; raised by a change that older code cannot read
OLDEST = 2  # that this code reads; raised by a change after which it cannot read older folders
CONFIG = "config.json"
_LOCK = ".lock"
_EVALUATED = "evaluated.json"
_OBJECTS = "objects"
_PLACES = ("dir", "workers", "loader")  # where data are kept, and how they are fed

# What determines the shapes and the meaning of the parameters.
_MODEL = {"data.resolution"} | {
    f"{section}.{key}"
    for section in ("model", "pose")
    for key in base_config()[section]
    if key != "refine_steps"
}
# What determines a training run besides: with another value it would be another run. (Where the
# data are kept, what is logged, and how long it runs may change under way.)
_RUN = (
    _MODEL
    | {"seed", "train.batch_size", "train.ema_decay", "train.as_used"}
    | {"train.start_from", "train.hold_pose"}
    | {
        f"{section}.{key}"
        for section in ("data", "frames", "loss", "optimizer", "search")
        for key in base_config()[section]
        if key not in ("dir", "workers", "loader", "num_test", "aligned")
    }
)


def checkpoints(workdir: str | Path) -> dict[int, Path]:
    """Returns step -> folder of the complete checkpoints, the oldest first."""
    folder = Path(workdir) / "checkpoints"
    paths = folder.iterdir() if folder.is_dir() else ()
    return dict(sorted((int(path.name), path) for path in paths if path.name.isdecimal()))


def holds_checkpoint(workdir: str | Path) -> bool:
    """Returns whether a folder holds a run with at least one complete checkpoint."""
    return bool(checkpoints(workdir))


def is_finished(workdir: str | Path) -> bool:
    """Returns whether a run has done all its steps and was evaluated.

    Raises:
        CheckpointError: its configuration is missing or damaged.
    """
    if not (Path(workdir) / "metrics.json").exists():
        return False
    steps = load_config(workdir).train.steps
    # Trained on and stopped, a run still has the metrics of before. Those of a version that did not
    # note the step count as the last one's.
    evaluated = _read_note(workdir).get("run", {}).get("step", steps)
    return min(max(checkpoints(workdir), default=0), evaluated) >= steps


def note_evaluation(folder: str | Path, config: ml_collections.ConfigDict) -> None:
    """Notes beside `metrics.json` of which views of which data it is: they need not be the run's.

    In a run's own folder also how many steps had been done.

    Raises:
        OSError: the note cannot be written.
    """
    data = {key: value for key, value in config.data.items() if key not in _PLACES}
    evaluated = {"seed": config.eval.seed, "symmetries": list(config.eval.symmetries)}
    note = {"data": data, "eval": evaluated}
    if holds_checkpoint(folder):
        note["run"] = {"step": max(checkpoints(folder))}
    atomic.write(Path(folder) / _EVALUATED, (json.dumps(note, indent=1) + "\n").encode())


def evaluated_on(folder: str | Path) -> dict[str, dict]:
    """Returns section -> field -> value of what was noted; nothing by a version that did not."""
    return {name: fields for name, fields in _read_note(folder).items() if name in ("data", "eval")}


def _read_note(folder: str | Path) -> dict[str, dict]:
    try:
        note = json.loads((Path(folder) / _EVALUATED).read_text())
        return {section: dict(fields) for section, fields in note.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def check_name(workdir: str | Path) -> None:
    """Makes sure that checkpoints that are written to a folder will be found again.

    Raises:
        UsageError: its path holds brackets or a backslash, which Orbax takes for a pattern.
    """
    path = str(Path(workdir).resolve())
    if re.search(r"\[.*\]|\\", path):
        raise UsageError(
            f"--workdir: {path} holds brackets or a backslash, and what Orbax writes there it does "
            "not find again; choose another name"
        )


@contextlib.contextmanager
def occupied(workdir: str | Path) -> Iterator[None]:
    """Keeps other processes of a machine from training in the folder; ends with its process.

    On file systems without locks it does nothing.

    Raises:
        CheckpointError: another process trains there.
        OSError: the folder cannot be made or written.
    """
    Path(workdir).mkdir(parents=True, exist_ok=True)
    with (Path(workdir) / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckpointError(
                f"--workdir: another process trains in {workdir}, or is still saving there; wait "
                "until it has ended, or choose another folder"
            ) from error
        except OSError:
            pass
        yield


def save_config(
    workdir: str | Path, config: ml_collections.ConfigDict, objects: str | None = None
) -> None:
    """Writes the configuration beside the checkpoints, atomically.

    Args:
        workdir: the run's folder.
        config: of the run.
        objects: a digest of what it is trained on, for `check_same_objects`.

    Raises:
        OSError: it cannot be written.
    """
    content = {"format": FORMAT, "sha256": _digest(config.to_dict()), "config": config.to_dict()}
    if objects is not None:
        content[_OBJECTS] = objects
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    atomic.write(Path(workdir) / CONFIG, text.encode())


def load_config(workdir: str | Path) -> ml_collections.ConfigDict:
    """Reads the configuration of a run.

    Raises:
        CheckpointError: the folder holds no run, one of another version of rotdis, or a damaged
            configuration, or it cannot be read.
    """
    path = Path(workdir) / CONFIG
    if not path.exists() and not holds_checkpoint(workdir):
        raise CheckpointError(f"{workdir}: holds no training run (there is no {CONFIG} in it)")
    try:
        content = json.loads(path.read_text())
        found, config = content["format"], content["config"]
        if type(found) is not int or type(config) is not dict:
            raise ValueError("another format or configuration than rotdis writes")
    except FileNotFoundError as error:
        raise _damaged(path, "is missing") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, "is not a configuration that rotdis wrote") from error
    if found > FORMAT:
        raise CheckpointError(
            f"{path}: has format {found}, which is newer than this version of rotdis, which reads "
            f"up to format {FORMAT}; upgrade rotdis, or use the version that trained it"
        )
    if found < OLDEST:
        raise CheckpointError(
            f"{path}: has format {found}, which is too old for this version of rotdis, which reads "
            f"from format {OLDEST} on; use the version that trained it, or train anew in another "
            "folder"
        )
    if content.get("sha256", _digest(config)) != _digest(config):
        raise _damaged(path, "differs from its checksum")
    return ml_collections.ConfigDict(_with_tuples(config))


def _digest(config: dict) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _with_tuples(value: object) -> object:
    """Returns what JSON made lists of as it was."""
    if isinstance(value, dict):
        return {key: _with_tuples(each) for key, each in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _damaged(path: Path, damage: str) -> CheckpointError:
    folders = reversed(checkpoints(path.parent).values())
    copy = next((folder / CONFIG for folder in folders if (folder / CONFIG).exists()), None)
    advice = (
        f"there is a copy: cp {shlex.quote(str(copy))} {shlex.quote(str(path))}"
        if copy
        else f"put a copy of it back, or delete {path.parent} to train anew"
    )
    return CheckpointError(f"{path}: {damage}; {advice}")


def check_same_run(workdir: str | Path, config: ml_collections.ConfigDict) -> None:
    """Makes sure that a workdir's run is one of this configuration.

    A longer run may find its frames at other shares of it. Which step a share is depends on how
    often a run is logged.

    Raises:
        CheckpointError: it holds another, and the message names the keys that differ; or it has
            done more steps already.
    """
    saved = compatibility.complete(load_config(workdir).to_dict(), workdir)
    # Where the objects are known themselves, it does not matter from where they come.
    told = _OBJECTS in json.loads((Path(workdir) / CONFIG).read_text())
    done = max(checkpoints(workdir), default=0)
    if config.train.steps < done:
        raise CheckpointError(
            f"{workdir}: stands at step {done} already, so that --config.train.steps="
            f"{config.train.steps} leaves nothing to train; choose another --workdir for a shorter "
            "run"
        )
    prolonged = saved.train.steps != config.train.steps
    fields = _RUN - ({"frames.synchronize_at"} if prolonged else set())
    fields -= {"data.source"} if told else set()
    if frames_are_used(config) and not prolonged:
        fields |= {"train.log_every"}
    differences = _differences(saved, config, fields)
    if differences:
        raise CheckpointError(
            f"{workdir}: holds another model's run, which differs in {differences}; choose another "
            "--workdir, or delete this one"
        )


def check_same_objects(workdir: str | Path, objects: str, source: str) -> None:
    """Makes sure that a workdir's run goes on with the objects that it was trained on.

    The same source may give others when files were added to it. What is known of single objects,
    their frames, is kept by their places.

    Args:
        workdir: of a run, whose configuration has been read.
        objects: as for `save_config`.
        source: where they are from, for the message.

    Raises:
        CheckpointError: they are others.
    """
    content = json.loads((Path(workdir) / CONFIG).read_text())
    if content.get(_OBJECTS, objects) != objects:  # older runs did not note it
        raise CheckpointError(
            f"{workdir}: was trained on other objects than {source} gives now; put those back, or "
            "choose another --workdir, where --config.train.start_from may name this one"
        )


def check_same_model(
    source: str | Path, saved: ml_collections.ConfigDict, wanted: ml_collections.ConfigDict
) -> None:
    """Makes sure that a trained model is the one that a configuration describes.

    Args:
        source: where the model is from, for the message.
        saved: its configuration.
        wanted: the other.

    Raises:
        CheckpointError: it is another; the message names the keys that differ.
    """
    differences = _differences(saved, wanted, _MODEL)
    if differences:
        raise CheckpointError(
            f"{source} is another model than this configuration describes; it differs in "
            f"{differences}"
        )


def _differences(
    saved: ml_collections.ConfigDict, wanted: ml_collections.ConfigDict, fields: set[str]
) -> str:
    differing = [
        f"{key} ({_lookup(saved, key)!r} there, {_lookup(wanted, key)!r} here)"
        for key in sorted(fields)
        if _lookup(saved, key) != _lookup(wanted, key)
    ]
    more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
    return ", ".join(differing[:5]) + more


def _lookup(config: ml_collections.ConfigDict, key: str) -> object:
    for part in key.split("."):
        config = config.get(part, "absent")
        if config == "absent":
            break
    # A configuration made from JSON has lists.
    return tuple(config) if isinstance(config, list) else config
