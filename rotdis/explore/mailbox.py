"""Messages that wait for their turn: of views only the newest, so that a drag never queues up."""

import asyncio
from collections import deque

from rotdis.explore.protocol import Message, View

_MOST = 4  # that wait; whoever sends more waits as well


class Mailbox:
    """Messages in the order of arrival, a view making those before it void.

    For one reader and one writer on one event loop. A view holds all controls, so nothing is lost
    with those that were never answered.
    """

    def __init__(self):
        self._waiting: deque[Message] = deque()
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._closed = False

    async def put(self, message: Message) -> None:
        """Adds a message, once there is room."""
        if isinstance(message, View):
            self._waiting = deque(m for m in self._waiting if not isinstance(m, View))
        while len(self._waiting) >= _MOST:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(message)
        self._arrived.set()

    async def get(self) -> Message | None:
        """Returns the next message, once there is one; None after the mailbox was closed."""
        while not self._waiting:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        self._room.set()
        return self._waiting.popleft()

    def close(self) -> None:
        """Ends the waiting of the reader; what waits is dropped."""
        self._closed = True
        self._waiting.clear()
        self._arrived.set()
