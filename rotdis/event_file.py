"""TensorBoard's event files, written in the caller's thread: the metric writer's other format.

tensorboardX's own `SummaryWriter` leaves events in a queue, which a kill loses, and its thread dies
of a full disk, after which the caller waits for that queue for ever.
"""

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from jaxtyping import UInt8
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

from rotdis import atomic

_HEADER, _CHECKSUM = 12, 4  # bytes: length (8) and its checksum; checksum of what follows


class EventFile:
    """One more event file in a folder; events past a step are removed from those that are there.

    Raises:
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int):
        """Opens the file.

        Args:
            folder: made where missing.
            step: the last step whose events stay.
        """
        folder.mkdir(parents=True, exist_ok=True)
        known = sorted(folder.glob("*tfevents*"))
        for path in known:
            _drop_events_after(path, step)
        # Files are named by the second, read by name: none may overwrite or precede another.
        self._writer = EventsWriter(str(folder / "events"), f".{len(known):04d}")
        if known:  # a TensorBoard that has read the others forgets what is gone
            self._write(step + 1, session_log=SessionLog(status=SessionLog.START))

    def write_scalar(self, step: int, name: str, value: float) -> None:
        """Writes a value."""
        self._write(step, summary=summary.scalar(name, value))

    def write_image(self, step: int, name: str, image: UInt8[np.ndarray, "h w 3"]) -> None:
        """Writes a picture."""
        self._write(step, summary=summary.image(name, image, dataformats="HWC"))

    def flush(self) -> None:
        """Returns when all is on disk."""
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes."""
        self._writer.close()

    def _write(self, step: int, **content) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=step, **content))


def read_events(folder: Path) -> list[tuple[int, str, bytes]]:
    """Returns (step, name, value as serialized) of every value in a folder's files, in order."""
    events = (
        Event.FromString(record[_HEADER:-_CHECKSUM])
        for path in sorted(folder.glob("*tfevents*"))
        for record in _records(path.read_bytes())
    )
    return [
        (event.step, value.tag, value.SerializeToString())
        for event in events
        for value in event.summary.value
    ]


def _drop_events_after(path: Path, step: int) -> None:
    """Rewrites a file without later events, and without one that a kill cut short at its end."""
    data = path.read_bytes()
    kept = b"".join(record for record in _records(data) if _stays(record, step))
    if kept != data:
        atomic.write(path, kept)


def _stays(record: bytes, step: int) -> bool:
    try:
        return Event.FromString(record[_HEADER:-_CHECKSUM]).step <= step
    except DecodeError:  # damaged
        return False


def _records(data: bytes) -> Iterator[bytes]:
    start = 0
    while start + _HEADER + _CHECKSUM <= len(data):
        (length,) = struct.unpack_from("<Q", data, start)
        end = start + _HEADER + length + _CHECKSUM
        if end > len(data):
            return
        yield data[start:end]
        start = end
