"""Whatever a configuration file holds: a valid configuration, or one line on where it fails."""

import re
import subprocess
import sys
from pathlib import Path

import ml_collections
import pytest
from absl import flags
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_collections import config_flags

from rotdis import config_file
from rotdis.config import base_config
from rotdis.config_rules import validate
from rotdis.errors import ConfigError, UsageError

ROOT = Path(__file__).resolve().parents[2]
START = "from rotdis.config import base_config\n\n\ndef get_config():\n    config = base_config()\n"

# File -> what the message says after the file's name.
BROKEN = {
    "def get_config(:\n    pass\n": ", line 1: invalid syntax",
    "def get_config():\n    x = (1,\n": r", line 2: '\(' was never closed",
    "def get_config():\nreturn 1\n": ", line 2: expected an indented block",
    "": r": has no function get_config\(\)",
    "get_config = 3\n": ": 'int' object is not callable",
    "def get_config(name):\n    return 1\n": r": get_config\(\) missing 1 required",
    "def get_config():\n    pass\n": r": get_config\(\) returned NoneType, not a ConfigDict",
    "def get_config():\n    return {'seed': 1}\n": r": get_config\(\) returned dict, not a",
    "def get_config():\n    return 1 / 0\n": ", line 2: ZeroDivisionError: division by zero",
    "def get_config():\n    raise ValueError('two\\nlines')\n": ", line 2: ValueError: two lines",
    "def get_config():\n    raise OSError('disk')\n": ", line 2: OSError: disk",
    "def get_config():\n    return get_config()\n": ", line 2: RecursionError",
    "import no_such_package\n": ", line 1: ModuleNotFoundError: No module named 'no_such_package'",
    "from rotdis.config import nothing\n": ", line 1: ImportError: cannot import name 'nothing'",
    "raise SystemExit(0)\n": ", line 1: SystemExit: 0",
    "class E(BaseException): pass\nassert False, 'no'\n": ", line 2: AssertionError: no",
    "open('no such file')\n": r": \[Errno 2\] No such file or directory: 'no such file'",
    START + "    config.train.steps = 'many'\n    return config\n": ", line 6: TypeError: Could",
    START + "    return config.train.stepss\n": (
        ", line 6: AttributeError: there is no field 'stepss'; Did you mean \"steps\" instead"
    ),
    "x = 1\0\n": ": source code string cannot contain null bytes",
}


def _parse(path: Path, *overrides: str) -> ml_collections.ConfigDict:
    values = flags.FlagValues()
    arguments = ["rotdis", f"--config={path}", *overrides]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    values["config"].parser = config_file.Parser(values["config"].parser)
    values(arguments)
    return values.config


def test_what_is_wrong_in_a_file_is_said_in_one_line_with_its_place(tmp_path, record_fault):
    path = tmp_path / "mine.py"
    for content, message in BROKEN.items():
        path.write_text(content)
        for override in ((), ("--config.train.steps=5",)):
            with pytest.raises(UsageError, match=f"^--config={path}{message}") as caught:
                _parse(path, *override)
            assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    record_fault("configuration file: wrong in some way", 2 * len(BROKEN), "one line, exit with 2")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"PK\x03\x04" + bytes(50), b"\x80\x04K\x01."])
def test_a_file_that_is_no_text_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"^--config={path}") as caught:
        _parse(path)
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_said_to_be_none(tmp_path):
    with pytest.raises(UsageError, match="gone.py: .*No such file"):
        _parse(tmp_path / "gone.py")
    with pytest.raises(UsageError, match="Is a directory"):
        _parse(tmp_path)
    with pytest.raises(UsageError, match="empty string"):
        _parse("")


def test_a_sound_file_is_the_configuration_it_makes(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(START + "    config.train.steps = 123\n    return config\n")
    config = _parse(path, "--config.seed=4")
    assert (config.train.steps, config.seed) == (123, 4)
    validate(config)


def test_the_command_ends_with_that_line_and_nothing_else(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def get_config():\n    return 1 / 0\n")
    command = [sys.executable, "-m", "rotdis.main", f"--config={path}", "--workdir=w"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2 and not ended.stdout
    assert ended.stderr == f"rotdis: --config={path}, line 2: ZeroDivisionError: division by zero\n"


_FIELDS = [
    (section, name)
    for section, fields in base_config().items()
    if isinstance(fields, ml_collections.ConfigDict)
    for name in fields
]
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(0, 100), st.floats(), st.text(max_size=5),
    st.lists(st.integers(), max_size=2), st.tuples(st.text(max_size=5)), st.just({"a": 1}),
    st.sampled_from(["furniture", "none", "svd", ("bed",), ("table:C2",), 10**400]),
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from(_FIELDS), _VALUES, min_size=1, max_size=3))
def test_any_value_of_any_field_is_valid_or_named(changes):
    values = base_config().to_dict()
    for (section, name), value in changes.items():
        values[section][name] = value
    try:
        validate(ml_collections.ConfigDict(values))
    except ConfigError as error:
        assert re.match(r"config\.\w+(\.\w+)*: ", str(error)) and len(str(error)) < 400
        assert "\n" not in str(error)
