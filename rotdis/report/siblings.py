"""The other runs beside a run's folder, for the report to compare with."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rotdis import run_folder

_FLOATS = (int, float)


class Run(NamedTuple):
    """An evaluated run.

    Attributes:
        name: of its folder.
        metrics: by name.
        config: "section.field" -> value; of its data those that it was evaluated on.
    """

    name: str
    metrics: Mapping[str, float]
    config: Mapping[str, object]


# Two runs were evaluated on the same objects only if these agree.
_SAME = ("data.resolution", "data.classes", "data.partial", "eval.seed")
_SAME_IF_PARTIAL = ("data.supersample",)
_SAME_IF_GENERATED = ("data.seed", "data.num_test")


def find(workdir: Path, config: Mapping[str, object]) -> tuple[list[Run], list[str]]:
    """Returns the evaluated runs beside a folder.

    Args:
        workdir: the run that is reported.
        config: its configuration, flat; of its data those that it was evaluated on.

    Returns:
        (runs on the same data by name, names of those on other data). Folders without a readable
        `metrics.json` and `config.json` are no evaluated runs.
    """
    workdir = workdir.resolve()
    same, other = [], []
    try:
        folders = sorted(path for path in workdir.parent.iterdir() if path.is_dir())
    except OSError:  # a folder that may be entered but not listed
        folders = []
    for folder in folders:
        run = None if folder == workdir else read(folder)
        if run is None:
            continue
        if config and data_of(run.config) == data_of(config):
            same.append(run)
        else:
            other.append(run.name)
    return same, other


def read(folder: Path) -> Run | None:
    """Returns an evaluated run, None where the folder is none."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]
        config = flatten(config) | flatten(run_folder.evaluated_on(folder))
        wrong = [v for v in metrics.values() if not isinstance(v, _FLOATS) or not math.isfinite(v)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None if wrong else Run(folder.resolve().name, metrics, config)


def flatten(config: Mapping, prefix: str = "") -> dict[str, object]:
    """Returns a nested configuration as "section.field" -> value, lists as tuples."""
    flat: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = tuple(value) if isinstance(value, list) else value
    return flat


def differences(config: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Returns what another run's configuration has otherwise, as `section.field=value`.

    What does not change what is learned or measured (where data are kept, how often is logged) is
    left out, and so is what one of the two does not have at all.
    """
    idle = (
        "data.dir",
        "data.workers",
        "data.loader",
        "data.source",
        "train.log_every",
        "eval.batch_size",
    )
    return [
        f"{key}={other[key]}"
        for key in sorted(config.keys() & other.keys())
        if other[key] != config[key] and key not in idle
    ]


def data_of(config: Mapping[str, object]) -> tuple[object, ...]:
    """Returns what is equal for two configurations of the same test objects."""
    source = str(config.get("data.source") or config.get("data.dataset"))
    keys = _SAME + (_SAME_IF_GENERATED if source == "furniture" else ())
    keys += _SAME_IF_PARTIAL if config.get("data.partial") else ()
    # The same file may lie in another place.
    return (Path(source).name, *(config.get(key) for key in keys))
