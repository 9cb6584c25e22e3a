"""What page and server say to each other over their WebSocket.

The page sends JSON objects with a `kind`, and files as binary messages: the length of the name in
bytes (uint32, little-endian), the name in UTF-8, the content. The server sends binary messages
only: the length of a JSON object, the object, padding to a multiple of four, and the arrays that it
lists under `arrays` (name -> type, shape, and offset after the object).
"""

import dataclasses
import json
import struct
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from rotdis import render
from rotdis.data.normalize import RADIUS_FRACTION
from rotdis.errors import RotdisError

MODES = ("infer", "decode")
_LENGTH = struct.Struct("<I")
_MOST_NAME_BYTES = 1024
_MOST_CHARACTERS = 10_000  # of a message that is no file
ENVELOPE = _LENGTH.size + _MOST_NAME_BYTES  # that a file's message has beside its content


class ProtocolError(RotdisError):
    """A message that the page does not send."""


@dataclasses.dataclass(frozen=True)
class View:
    """What a tab wants to see: all of its controls at once, so that the newest is enough."""

    sequence: int
    mode: str
    rotation: Float[np.ndarray, "3 3"]
    amounts: tuple[float, ...]
    upright: bool


@dataclasses.dataclass(frozen=True)
class Open:
    """Show the object of this number."""

    index: int


@dataclasses.dataclass(frozen=True)
class Upload:
    """Show the mesh in this file."""

    name: str
    content: bytes


@dataclasses.dataclass(frozen=True)
class Sample:
    """Draw a shape from the prior."""

    seed: int


@dataclasses.dataclass(frozen=True)
class Export:
    """Send what is shown as a file."""

    parts: tuple[str, ...]
    file_format: str


Message = View | Open | Upload | Sample | Export


def parse(data: str | bytes) -> Message:
    """Returns the message that came.

    Raises:
        ProtocolError: it is none.
    """
    try:
        if isinstance(data, bytes):
            (length,) = _LENGTH.unpack_from(data)
            if length > _MOST_NAME_BYTES:
                raise ValueError("the name is too long")
            start = _LENGTH.size + length
            return Upload(data[_LENGTH.size : start].decode(), data[start:])
        if len(data) > _MOST_CHARACTERS:
            raise ValueError("it is too long")
        fields = json.loads(data)
        return _PARSERS[fields["kind"]](fields)
    except (
        ArithmeticError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
        struct.error,
    ) as error:
        raise ProtocolError(f"not a message of the page: {error}") from error


def _parse_view(fields: Mapping) -> View:
    amounts = tuple(float(np.clip(float(amount), -10, 10)) for amount in fields["amounts"])
    if fields["mode"] not in MODES or not np.isfinite(amounts).all():
        raise ValueError("no such view")
    rotation = Rotation.from_quat(np.asarray(fields["quaternion"], np.float64).reshape(4))
    if not np.isfinite(rotation.as_quat()).all():
        raise ValueError("no such rotation")
    matrix = rotation.as_matrix().astype(np.float32)
    return View(int(fields["sequence"]), fields["mode"], matrix, amounts, bool(fields["upright"]))


_PARSERS = {
    "view": _parse_view,
    "open": lambda fields: Open(int(fields["index"])),
    "sample": lambda fields: Sample(int(fields["seed"]) % 2**32),
    "export": lambda fields: Export(tuple(map(str, fields["parts"])), str(fields["format"])),
}


def pack(kind: str, arrays: Mapping[str, np.ndarray] | None = None, **fields) -> bytes:
    """Returns a message of the server: fields, and arrays of float32, uint32 or uint8."""
    listed, buffers, offset = {}, [], 0
    for name, array in (arrays or {}).items():
        content = np.ascontiguousarray(array).tobytes()
        listed[name] = {"type": array.dtype.name, "shape": array.shape, "offset": offset}
        buffers.append(content + bytes(-len(content) % 4))
        offset += len(buffers[-1])
    header = json.dumps({"kind": kind, "arrays": listed, **fields}).encode()
    header += b" " * (-len(header) % 4)
    return b"".join([_LENGTH.pack(len(header)), header, *buffers])


def unpack(data: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """Inverts `pack`: returns the fields with their `kind`, and the arrays."""
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size + length
    fields = json.loads(data[_LENGTH.size : start])
    arrays = {
        name: np.frombuffer(
            data, entry["type"], int(np.prod(entry["shape"])), start + entry["offset"]
        ).reshape(entry["shape"])
        for name, entry in fields.pop("arrays").items()
    }
    return fields, arrays


def mesh_arrays(part: str, volume: Float[np.ndarray, "d d d"]) -> dict[str, np.ndarray]:
    """Returns a volume's surface as the page draws it; a whole object's ball has the radius 1."""
    surface = render.smooth_surface(volume)
    scale = 2 / (RADIUS_FRACTION * len(volume))
    return {
        f"{part}/vertices": (surface.vertices * scale).astype(np.float32),
        f"{part}/faces": surface.faces.astype(np.uint32),
        f"{part}/normals": surface.normals.astype(np.float32),
        f"{part}/light": np.rint(255 * surface.light).astype(np.uint8),
    }
