"""Laws of configurations that other versions saved."""

import json

import pytest

from rotdis import compatibility
from rotdis.config import base_config
from rotdis.errors import CheckpointError


def _saved():
    return json.loads(json.dumps(base_config().to_dict()))


def test_a_saved_configuration_comes_back_whole():
    assert compatibility.complete(_saved(), "here").to_dict() == base_config().to_dict()


def test_a_field_that_did_not_exist_yet_gets_the_value_under_which_nothing_changes(monkeypatch):
    saved = _saved()
    del saved["pose"]["width"], saved["pose"]["grid"], saved["loss"]
    monkeypatch.setitem(compatibility.BEFORE, "pose.width", 3)
    config = compatibility.complete(saved, "here")
    assert config.pose.width == 3
    assert config.pose.grid == base_config().pose.grid
    assert config.loss == base_config().loss


def test_what_is_saved_goes_before_what_was_so_before_it_could_be(monkeypatch):
    saved = _saved()
    saved["pose"]["width"] = 5
    monkeypatch.setitem(compatibility.BEFORE, "pose.width", 3)
    assert compatibility.complete(saved, "here").pose.width == 5


def test_an_unknown_setting_of_the_model_is_named_and_one_of_the_training_is_kept():
    saved = _saved()
    saved["train"]["later"] = 1
    assert compatibility.complete(saved, "here").train.later == 1
    saved["pose"]["later"] = 1
    with pytest.raises(CheckpointError, match=r"here: .*\(search.later\)"):
        compatibility.complete({"search": {"later": 1}}, "here")
    with pytest.raises(CheckpointError, match=r"here: .*\(pose.later\)"):
        compatibility.complete(saved, "here")


@pytest.mark.parametrize(
    "key, value", [("seed", {}), ("seed", {"a": 1}), ("model", 3), ("data", [])]
)
def test_a_section_where_none_is_or_none_where_one_is_is_refused(key, value):
    with pytest.raises(CheckpointError, match="here: its configuration is not one that rotdis"):
        compatibility.complete(_saved() | {key: value}, "here")


def test_every_value_of_before_belongs_to_a_field():
    for key in compatibility.BEFORE:
        section, field = key.split(".")
        assert field in base_config()[section], key
