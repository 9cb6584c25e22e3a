"""What listens or opens: nothing is written, executed or let in that should not be."""

import json
import re
import socket
import struct
from pathlib import Path

import jax
import numpy as np
import pytest
from faults.watch import Watch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_config
from tiny_data import data_config, modelnet_files, write_npz, write_zip

pytest.importorskip("igl")
pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from rotdis import commands, main, step  # noqa: E402
from rotdis.data.modelnet_files import open_zip  # noqa: E402
from rotdis.data.prepare import prepare  # noqa: E402
from rotdis.explore import protocol, server  # noqa: E402  (need websockets)
from rotdis.models import rotation_vae  # noqa: E402
from rotdis.packaged import archive  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


class _Echo:
    """Stands for an explorer where what it answers does not matter."""

    def new_session(self) -> object:
        return object()

    def hello(self) -> bytes:
        return protocol.pack("hello")

    def answer(self, session: object, message: protocol.Message) -> bytes:
        return protocol.pack("answer")


def test_the_watch_sees_what_it_has_to_see(watch, tmp_path):
    import pickle

    with watch() as seen:
        (tmp_path / "a").write_text("x")
        (tmp_path / "a").rename(tmp_path / "b")
        pickle.loads(pickle.dumps(Path))
        (tmp_path / "b").read_text()
    assert [str(tmp_path / "a") in str(each) for each in seen.changed] == [True, True]
    assert [event for event, *_ in seen.run] == ["pickle.find_class"]


def test_nothing_runs_because_data_or_a_model_say_so(watch, tmp_path, record_fault):
    config = tiny_config()
    shapes = jax.eval_shape(lambda: step.init_state(rotation_vae.create(config), config)).params
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    model = tmp_path / "a.rotdis"
    model.write_bytes(archive.pack(archive.Archive(config.to_dict(), params, {}, "float16", 1)))
    npz = write_npz(tmp_path / "a.npz")
    zipped = write_zip(tmp_path / "a.zip", modelnet_files(1))
    with watch() as seen:
        assert archive.read(model).step == 1
        prepare(data_config(npz, tmp_path / "data"))
        for item in open_zip(zipped).splits["train"]:
            item.payload.voxels(16, 1)
    assert not seen.run
    record_fault("data and models of all kinds, watched by audit events", 3, "nothing run")


def test_no_code_of_ours_unpickles_or_evaluates():
    """Configuration files are the exception, which the README states."""
    forbidden = re.compile(
        r"\b(pickle|marshal|shelve|joblib|dill|cloudpickle)\b|\b(eval|exec|compile|__import__)\("
        r"|allow_pickle=True|os\.system|shell=True|yaml\.load\b|torch\.load|import_module\("
    )
    for path in (ROOT / "rotdis").rglob("*.py"):
        code = re.sub(r'""".*?"""|#.*', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        found = [m for m in forbidden.finditer(code) if code[m.start() - 1] not in "._"]
        assert not found, (path, found)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert "Configurations are Python files and are run as such" in readme


def test_the_page_is_for_this_machine_alone_unless_it_is_said():
    assert commands.Page().host == "127.0.0.1"
    assert main.FLAGS["host"].default == "127.0.0.1"
    with server.in_background(_Echo()) as address:
        port = int(address.rstrip("/").rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass
        others = {item[4][0] for item in socket.getaddrinfo(socket.gethostname(), port)}
        for other in others - {"127.0.0.1", "::1"}:
            with pytest.raises(OSError), socket.create_connection((other, port), timeout=5):
                pass


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
_FIELDS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["view", "open", "sample", "export", "hello"]) | _JSON},
    optional={
        name: _JSON
        for name in ("sequence", "mode", "quaternion", "amounts", "upright", "index", "seed",
                     "parts", "format")
    },
)  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.one_of(_FIELDS.map(json.dumps), _JSON.map(json.dumps), st.text(), st.binary()))
def test_any_message_is_one_of_the_pages_or_refused(message):
    try:
        parsed = protocol.parse(message)
    except protocol.ProtocolError as error:
        assert str(error).startswith("not a message of the page: ")
        return
    assert isinstance(parsed, protocol.Message)


@pytest.mark.parametrize(
    "message",
    [
        json.dumps({"kind": "view", "amounts": [0] * 10_000}),
        "[" * 9_000,
        " " * 10_001,
        struct.pack("<I", 2**32 - 1) + bytes(100),
    ],
    ids=["long", "deep", "blank", "name"],
)
def test_a_message_out_of_bounds_ends_its_own_connection(message, record_fault):
    with pytest.raises(protocol.ProtocolError):
        protocol.parse(message)
    with server.in_background(_Echo()) as address:
        with connect(f"ws{address[4:-1]}{server.SOCKET}", max_size=None) as socket_:
            socket_.recv(timeout=60)
            socket_.send(message)
            with pytest.raises(ConnectionClosed) as caught:
                socket_.recv(timeout=60)
            assert caught.value.rcvd.code == 1008
        with connect(f"ws{address[4:-1]}{server.SOCKET}", max_size=None) as other:
            assert protocol.unpack(other.recv(timeout=60))[0]["kind"] == "hello"
    record_fault("explore: messages too long, too deep", 1, "that connection ends, no other")
