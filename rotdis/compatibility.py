"""A configuration that an earlier version saved, brought up to what this one expects.

Fields come to `rotdis.config` over time. One that a saved configuration lacks did not exist when
its model was trained, so it gets the value under which nothing changes: the one in `BEFORE`, or the
default where that is it. A change that no value of a field can undo raises the format number in
`rotdis.run_folder` or `rotdis.packaged.archive` instead.
"""

from collections.abc import Mapping

import ml_collections

from rotdis.config import base_config
from rotdis.config_rules import check_fields
from rotdis.errors import CheckpointError, ConfigError

# "section.field" -> what it amounted to before there was such a field, where that is not its
# default. Whoever adds a field to `config.model` or `config.pose` that is on by default, adds here
# the value that turns it off.
BEFORE: dict[str, object] = {"pose.second_width": 0, "pose.frame_width": 0}

_OF_THE_MODEL = ("model", "pose", "search")


def complete(saved: Mapping, source: object) -> ml_collections.ConfigDict:
    """Returns a saved configuration with the fields that it lacks.

    Args:
        saved: section -> field -> value, perhaps read from JSON; fields of training that are no
            longer known are kept, as they do not matter to the model.
        source: where it is from, for messages.

    Raises:
        CheckpointError: a field of the model is unknown: a newer version made it, or the field is
            gone, and without it this might be another model; or something is of the wrong type.
    """
    config = base_config().to_dict()
    sections = {key for key, value in config.items() if isinstance(value, dict)}
    if not isinstance(saved, Mapping) or not all(
        isinstance(saved.get(key, value), Mapping) == (key in sections)
        for key, value in config.items()
    ):
        raise CheckpointError(f"{source}: its configuration is not one that rotdis wrote")
    for section in _OF_THE_MODEL:
        unknown = sorted(saved.get(section, {}).keys() - config[section].keys())
        if unknown:
            names = ", ".join(f"{section}.{field}" for field in unknown)
            raise CheckpointError(
                f"{source}: its model has settings that this version of rotdis does not know "
                f"({names}); use the version that trained it"
            )
    for key, value in BEFORE.items():
        section, field = key.split(".")
        config[section][field] = value
    for key, value in saved.items():
        config[key] = config.get(key, {}) | _plain(value) if isinstance(value, Mapping) else value
    completed = ml_collections.ConfigDict(config)
    try:
        check_fields(completed)
    except ConfigError as error:
        raise CheckpointError(f"{source}: its configuration is damaged: {error}") from error
    return completed


def _plain(section: Mapping) -> dict:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in section.items()}
