"""What a server lets in and what not: addresses, other sites, sizes, numbers; each tab its own."""

import asyncio
import http.client
import json
import signal
import struct
import sys
import threading
import time

import pytest
from explore.boxes import box_set, tiny_model

pytest.importorskip("igl")
pytest.importorskip("trimesh")
pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from rotdis import inference  # noqa: E402
from rotdis.errors import RotdisError  # noqa: E402
from rotdis.explore import latency, objects, protocol, server, web  # noqa: E402
from rotdis.explore.explorer import UPLOAD_LIMIT, Explorer  # noqa: E402
from rotdis.interrupt import Stopped  # noqa: E402


@pytest.fixture(scope="module")
def exploring():
    return Explorer(tiny_model(), box_set(), "boxes", "tiny")


@pytest.fixture(scope="module")
def address(exploring):
    with server.in_background(exploring) as address:
        yield address


def _port(address):
    return int(address.rstrip("/").rsplit(":", 1)[1])


def _get(address, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", _port(address), timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    return response.status, response.read(), response.headers


def _connect(address, **options):
    return connect(f"ws{address[4:-1]}{server.SOCKET}", max_size=None, **options)


def _view(sequence=1, quaternion=(0, 0, 0, 1)):
    fields = {"mode": "infer", "quaternion": quaternion, "amounts": [], "upright": False}
    return json.dumps({"kind": "view", "sequence": sequence, **fields})


def _receive(socket):
    return protocol.unpack(socket.recv(timeout=60))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/explore.js?x", "text/javascript"),
        ("/three.js", "text/javascript"),
        ("/explore.css", "text/css"),
    ],
)
def test_the_pages_files_are_there(address, path, kind):
    status, content, headers = _get(address, path)
    assert status == 200 and len(content) > 500
    assert headers["Content-Type"].startswith(kind)
    assert "default-src 'self'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/three.LICENSE", "/../session.py", "/%2e%2e/session.py", "//etc/passwd", "/page"]
)
def test_no_other_files_are(address, path):
    assert _get(address, path)[0] == 404


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "", "[::1"])
def test_a_name_of_another_site_is_turned_away(address, name):
    assert _get(address, Host=f"{name}:{_port(address)}")[0] == 403


def test_names_of_this_machine_are_not(address):
    for name in ("localhost", "127.0.0.1", "[::1]"):
        assert _get(address, Host=f"{name}:{_port(address)}")[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_cannot_connect(address, origin):
    with pytest.raises(InvalidStatus, match="403"), _connect(address, origin=origin):
        pass
    with _connect(address, origin=address.rstrip("/")) as socket:
        assert _receive(socket)[0]["kind"] == "hello"


def test_a_taken_port_is_an_error_in_one_line(exploring, address):
    with pytest.raises(RotdisError, match="--port=.*try another port") as caught:
        with server.in_background(exploring, port=_port(address)):
            pass
    assert "\n" not in str(caught.value)


def test_what_is_over_the_limit_is_refused_while_it_arrives(address):
    with _connect(address) as socket:
        _receive(socket)
        with pytest.raises(ConnectionClosed) as caught:
            socket.send(struct.pack("<I", 5) + b"a.off" + bytes(UPLOAD_LIMIT + protocol.ENVELOPE))
            _receive(socket)
        assert caught.value.rcvd.code == 1009  # message too big


def test_what_is_no_message_ends_the_connection_and_no_other(address):
    with _connect(address) as socket, _connect(address) as other:
        _receive(socket), _receive(other)
        socket.send("{}")
        with pytest.raises(ConnectionClosed):
            _receive(socket)
        other.send(json.dumps({"kind": "open", "index": 0}))
        assert _receive(other)[0]["kind"] == "opened"


def test_every_tab_has_its_own_object(address):
    with _connect(address) as one, _connect(address) as two:
        for index, socket in enumerate((one, two)):
            _receive(socket)
            socket.send(json.dumps({"kind": "open", "index": index}))
            assert _receive(socket)[0]["name"] == f"box_{index:04d}"
        for index, socket in enumerate((one, two)):
            socket.send(_view())
            assert _receive(socket)[0]["kind"] == "shown"
            socket.send(json.dumps({"kind": "export", "parts": ["input"], "format": "stl"}))
            assert _receive(socket)[0]["name"] == f"box_{index:04d}_input.stl"


def test_there_are_so_many_tabs_and_no_more(address):
    sockets = []
    try:
        with pytest.raises(InvalidStatus, match="503"):
            for _ in range(server.MOST_TABS + 1):
                sockets.append(_connect(address))
        assert len(sockets) == server.MOST_TABS
    finally:
        for socket in sockets:
            socket.close()
    deadline = time.monotonic() + 20
    while True:  # until the server has seen that they are closed
        try:
            with _connect(address) as socket:
                assert _receive(socket)[0]["kind"] == "hello"
            return
        except InvalidStatus:
            assert time.monotonic() < deadline


def test_a_drag_is_answered_by_its_newest_view(exploring, address, monkeypatch):
    answered, started, answer = [], threading.Event(), exploring.answer

    def slow(session, message):
        if isinstance(message, protocol.View):
            answered.append(message.sequence)
            started.set()
            time.sleep(0.5)
        return answer(session, message)

    monkeypatch.setattr(exploring, "answer", slow)
    with _connect(address) as socket:
        _receive(socket)
        socket.send(json.dumps({"kind": "open", "index": 0}))
        _receive(socket)
        socket.send(_view(0))
        started.wait(20)
        for sequence in range(1, 51):
            socket.send(_view(sequence))
        sequences = []
        while 50 not in sequences:
            sequences.append(_receive(socket)[0]["sequence"])
    assert sequences == answered and len(answered) <= 4


@pytest.mark.parametrize(
    "host, local",
    [("127.0.0.1", True), ("127.0.0.2", True), ("LOCALHOST", True), ("127.1", True), ("::1", True),
     ("0.0.0.0", False), ("", False), ("192.0.2.1", False), ("no.such.name.invalid", False)],
)  # fmt: skip
def test_an_address_is_this_machine_s_however_it_is_written(host, local):
    assert web.is_loopback(host) == local


def test_the_time_of_a_drag_is_measured(address):
    measured = latency.measure(address, 0.5)
    assert 0 < measured.median <= measured.percentile_95 < 10_000
    assert measured.pictures_per_second > 0.2


def test_answers_faster_than_the_mouse_do_not_hold_it_up(monkeypatch):
    """Each view is answered before the next event, the last one as well."""

    class Socket:
        def __init__(self, *_, **__):
            self.asked = asyncio.Queue()

        async def __aenter__(self):
            self.asked.put_nowait({"sequence": None})  # the greeting
            return self

        async def __aexit__(self, *_):
            pass

        async def send(self, text):
            self.asked.put_nowait({"sequence": None} | json.loads(text))

        async def recv(self):
            fields = await self.asked.get()
            return protocol.pack("shown", sequence=fields["sequence"])

    monkeypatch.setattr("websockets.asyncio.client.connect", Socket)
    waits, pictures = asyncio.run(asyncio.wait_for(latency._drag("http://here/", 0.1), 10))
    assert len(waits) == pictures == 6


@pytest.mark.parametrize("seconds", ["0", "inf", "nan", "-1", "soon"])
def test_a_drag_takes_some_time(seconds, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["latency", "--workdir=tiny", f"--seconds={seconds}"])
    with pytest.raises(SystemExit) as ended:
        latency.main()
    assert ended.value.code == 2 and "--seconds" in capsys.readouterr().err


def test_the_command_that_measures_it_tells_it(monkeypatch, capsys):
    monkeypatch.setattr(inference, "load", lambda _: tiny_model())
    monkeypatch.setattr(objects, "choose", lambda data: (box_set(), data.source))
    monkeypatch.setattr(sys, "argv", ["latency", "--workdir=tiny", "--seconds=0.3"])
    latency.main()
    assert "from drag to surfaces at" in capsys.readouterr().out


def test_another_signal_is_not_its_ordinary_end(exploring, monkeypatch):
    async def terminated(*_):
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr(server, "serve", terminated)
    with pytest.raises(Stopped):
        server.run(exploring, "127.0.0.1", 0, open_browser=False)


def test_ctrl_c_ends_it(exploring, monkeypatch, capsys):
    async def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "serve", interrupted)
    server.run(exploring, "127.0.0.1", 0, open_browser=False)
    assert "ended" in capsys.readouterr().out


def test_an_address_that_others_reach_is_said_to_be_one(exploring, monkeypatch, capsys):
    async def stopped(explorer, host, port, ready):
        ready(f"http://{host}:{port}/")

    opened = []
    monkeypatch.setattr(server, "serve", stopped)
    monkeypatch.setattr("webbrowser.open", opened.append)
    server.run(exploring, "0.0.0.0", 1, open_browser=False)
    assert "other machines" in capsys.readouterr().out and not opened
    server.run(exploring, "127.0.0.1", 1)
    assert "other machines" not in capsys.readouterr().out
    deadline = time.monotonic() + 10
    while not opened and time.monotonic() < deadline:
        time.sleep(0.01)
    assert opened == ["http://127.0.0.1:1/"]
