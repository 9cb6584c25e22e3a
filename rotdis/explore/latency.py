"""How long a drag takes to become a picture: a mouse is played against the real server.

python -m rotdis.explore.latency --workdir=W [--seconds=5]

Measured from an event to the surfaces that answer it or a later one, over the WebSocket; drawing
them is the browser's part, and the page shows the time with it.
"""

import argparse
import asyncio
import json
import time
from typing import NamedTuple

import numpy as np
from absl import logging
from scipy.spatial.transform import Rotation

from rotdis import extras, inference
from rotdis.errors import RotdisError
from rotdis.explore import objects, protocol

_EVENT = 1 / 60  # seconds between two events of a mouse
_SPEED = 90  # degrees a second


class Latency(NamedTuple):
    """Milliseconds from an event to its picture, and how many pictures there were a second."""

    median: float
    percentile_95: float
    pictures_per_second: float


def measure(address: str, seconds: float) -> Latency:
    """Drags an object of a server that runs, 60 events a second.

    An event that is overtaken before it is answered counts until the answer to the one that
    overtook it.
    """
    waits, pictures = asyncio.run(_drag(address, seconds))
    milliseconds = 1000 * np.array(waits)
    return Latency(
        float(np.median(milliseconds)), float(np.percentile(milliseconds, 95)), pictures / seconds
    )


async def _drag(address: str, seconds: float) -> tuple[list[float], int]:
    from websockets.asyncio.client import connect  # of the extra `explore`

    from rotdis.explore import server

    sent, waits, pictures = {}, [], 0
    async with connect(f"ws{address[4:-1]}{server.SOCKET}", max_size=None) as socket:
        await socket.recv()
        await socket.send(json.dumps({"kind": "open", "index": 0}))
        await socket.recv()

        async def move() -> None:
            for number in range(max(2, round(seconds / _EVENT))):
                turn = np.radians(_SPEED) * number * _EVENT * np.array([0.6, 0, 0.8])
                sent[number] = time.perf_counter()
                await socket.send(_view(number, Rotation.from_rotvec(turn)))
                await asyncio.sleep(_EVENT)

        moving = asyncio.create_task(move())
        while not moving.done() or sent:
            if not sent:  # all is answered, and the next event is still to come, if any
                await asyncio.sleep(_EVENT / 10)
                continue
            fields, _ = protocol.unpack(await socket.recv())
            now, pictures = time.perf_counter(), pictures + 1
            for number in [each for each in sent if each <= fields["sequence"]]:
                waits.append(now - sent.pop(number))
        await moving
    return waits, pictures


def _view(number: int, rotation: Rotation) -> str:
    fields = {"mode": "infer", "quaternion": rotation.as_quat().tolist(), "amounts": []}
    return json.dumps({"kind": "view", "sequence": number, "upright": True, **fields})


def _duration(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 3600")
    return seconds


def main() -> None:
    """Measures, and prints what was measured."""
    parser = argparse.ArgumentParser(prog="rotdis.explore.latency", description=__doc__)
    parser.add_argument("--workdir", required=True, help="a run, exported file or packaged model")
    parser.add_argument("--seconds", type=_duration, default=5.0, help="how long to drag [5]")
    arguments = parser.parse_args()
    logging.set_verbosity(logging.ERROR)
    try:
        from rotdis.explore import server
        from rotdis.explore.explorer import Explorer

        model = inference.load(arguments.workdir)
        explorer = Explorer(model, *objects.choose(model.config.data), arguments.workdir)
        with server.in_background(explorer) as address:
            latency = measure(address, arguments.seconds)
    except (RotdisError, ImportError) as error:
        error = extras.missing(error) if isinstance(error, ImportError) else error
        if isinstance(error, ImportError):
            raise
        parser.error(str(error))
    print(
        f"from drag to surfaces at {model.resolution}^3: {latency.median:.0f} ms (median), "
        f"{latency.percentile_95:.0f} ms (95 %), {latency.pictures_per_second:.0f} a second"
    )


if __name__ == "__main__":
    main()
