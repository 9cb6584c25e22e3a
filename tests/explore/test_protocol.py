"""Messages between page and server: what is packed comes out, and what is no message is refused."""

import json
import struct

import numpy as np
import pytest

from rotdis.explore import protocol
from rotdis.explore.protocol import Export, Open, ProtocolError, Sample, Upload


def _view(**changes):
    fields = {
        "kind": "view", "sequence": 3, "mode": "infer", "quaternion": [0, 0, 2, 2],
        "amounts": [1, -50], "upright": False,
    }  # fmt: skip
    return json.dumps(fields | changes)


def test_arrays_come_out_as_they_went_in():
    arrays = {
        "a/b": np.arange(5, dtype=np.uint8),
        "c": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
        "none": np.zeros((0, 3), np.uint32),
    }
    fields, found = protocol.unpack(protocol.pack("shown", arrays, sequence=7, text="\u00e9"))
    assert fields == {"kind": "shown", "sequence": 7, "text": "\u00e9"}
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)


def test_a_view_holds_a_rotation_and_bounded_amounts():
    view = protocol.parse(_view())
    assert np.allclose(view.rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-6)
    assert view.amounts == (1, -10) and view.sequence == 3 and view.mode == "infer"


def test_a_file_comes_with_its_name():
    name = "b\u00e4r.off".encode()
    data = struct.pack("<I", len(name)) + name + b"OFF\0\xff"
    assert protocol.parse(data) == Upload("b\u00e4r.off", b"OFF\0\xff")


def test_other_messages():
    assert protocol.parse('{"kind": "open", "index": 4}') == Open(4)
    assert protocol.parse('{"kind": "sample", "seed": -1}') == Sample(2**32 - 1)
    expected = Export(("input",), "stl")
    assert protocol.parse('{"kind": "export", "parts": ["input"], "format": "stl"}') == expected


@pytest.mark.parametrize(
    "data",
    [
        "", "[]", "null", "{}", '{"kind": "quit"}', '{"kind": "open"}',
        '{"kind": "open", "index": 1e999}', '{"kind": "export", "parts": 3, "format": "stl"}',
        _view(quaternion=[0, 0, 0, 0]), _view(quaternion=[0, 1]),
        _view(quaternion=[float("nan")] * 4), _view(quaternion=[1e400, 0, 0, 0]),
        _view(amounts=[float("nan")]), _view(amounts="x"), _view(mode="rest"),
        b"", b"\xff\xff\xff\xff", struct.pack("<I", 2) + b"\xff\xff",
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ProtocolError):
        protocol.parse(data)
