"""The help is true: its fields exist, its examples parse, its modes are those of the program."""

import re
from pathlib import Path

from absl import flags

from rotdis import main, usage
from rotdis.config import base_config

ROOT = Path(__file__).resolve().parents[1]
TEXT = usage.text(main._MODES, flags.FLAGS)


def test_every_option_and_every_mode_is_listed():
    defined = flags.FLAGS.flags_by_module_dict()["rotdis.main"]
    for flag in defined:
        assert f"--{flag.name}" in TEXT
    for mode in flags.FLAGS["mode"].parser.enum_values:
        assert re.search(rf"^  {mode} ", TEXT, re.MULTILINE), mode


def test_every_field_named_exists():
    named = set(re.findall(r"--config\.([a-z]+)\.(\w+)", TEXT))
    assert ("train", "steps") in named
    for section, field in named:
        assert field in base_config()[section], f"{section}.{field}"


def test_every_configuration_named_exists():
    named = set(re.findall(r"configs/[a-z]+\.py", TEXT))
    assert "configs/modelnet.py" in named
    for path in named:
        assert (ROOT / path).exists(), path
