"""Serves the page: one port, and one WebSocket with a session of its own for each browser tab.

A small server of our own on `websockets`, and three.js in the page, rather than a general viewer
such as viser: viser 1.1 takes uploads of any size into memory, connections from any site that the
browser shows, and lets any of them have the page published through a tunnel.
"""

import asyncio
import contextlib
import http
import logging
import signal
import threading
import webbrowser
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from websockets.asyncio import server as websockets
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from rotdis.errors import RotdisError
from rotdis.explore import protocol, web
from rotdis.explore.explorer import UPLOAD_LIMIT, Explorer
from rotdis.explore.mailbox import Mailbox
from rotdis.interrupt import Stopped

SOCKET = "/socket"
MOST_TABS = 16


def run(explorer: Explorer, host: str, port: int, open_browser: bool = True) -> None:
    """Serves until Ctrl-C.

    Raises:
        RotdisError: the address cannot be listened on.
        Stopped: another signal came.
    """

    def ready(address: str) -> None:
        print(f"explore: {address} (Ctrl-C ends it)", flush=True)
        if not web.is_loopback(host):
            print("explore: other machines can reach it too, and nothing asks them for a password")
        if open_browser:  # some browsers return only when they are closed
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    try:
        asyncio.run(serve(explorer, host, port, ready))
    except KeyboardInterrupt as stop:
        if isinstance(stop, Stopped) and stop.number != signal.SIGINT:
            raise
        print("explore: ended")


@contextlib.contextmanager
def in_background(explorer: Explorer, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serves in a thread meanwhile, and gives the page's address.

    Raises:
        RotdisError: the address cannot be listened on.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    address: asyncio.Future[str] = loop.create_future()
    serving: list[asyncio.Task] = []

    async def begin() -> str:
        task = loop.create_task(serve(explorer, host, port, address.set_result))
        serving.append(task)
        await asyncio.wait([address, task], return_when=asyncio.FIRST_COMPLETED)
        return address.result() if address.done() else task.result()

    async def end() -> None:
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await loop.shutdown_default_executor()

    try:
        yield asyncio.run_coroutine_threadsafe(begin(), loop).result()
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def serve(explorer: Explorer, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serves until it is cancelled.

    Args:
        explorer: answers.
        host: the address to listen on.
        port: the port; 0 for any that is free.
        ready: called with the page's address once it can be opened.

    Raises:
        RotdisError: the address cannot be listened on.
    """
    serving = _Serving(explorer, host)
    logger = logging.getLogger("rotdis.explore")
    logger.setLevel(logging.ERROR)
    # What does not even begin to be a request, or goes away in the middle, is no one's error.
    logger.addFilter(lambda record: record.getMessage() != "opening handshake failed")
    try:
        listening = await websockets.serve(
            serving.talk,
            host,
            port,
            process_request=serving.respond,
            max_size=UPLOAD_LIMIT + protocol.ENVELOPE,  # a larger message ends the connection
            max_queue=1,
            compression=None,
            logger=logger,
        )
    except (OSError, UnicodeError) as error:  # a name may be none at all
        reason = getattr(error, "strerror", None) or error
        raise RotdisError(
            f"--host={host} --port={port}: cannot listen there ({reason}); try "
            "another port, or 0 for any"
        ) from error
    async with listening:
        ready(_address(host, listening.sockets[0].getsockname()[1]))
        await listening.serve_forever()


class _Serving:
    """The connections of one server."""

    def __init__(self, explorer: Explorer, host: str):
        self._explorer, self._local = explorer, web.is_loopback(host)
        self._files = web.page_files()
        self._tabs = 0

    def respond(self, _: websockets.ServerConnection, request: Request) -> Response | None:
        """Answers a request for a file; returns None where it opens a WebSocket."""
        if web.is_foreign(request.headers, self._local):
            return web.response(http.HTTPStatus.FORBIDDEN, "Not by way of another site.\n")
        path = urlsplit(request.path).path
        if path == SOCKET:
            if self._tabs < MOST_TABS:
                return None
            return web.response(http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many tabs are open.\n")
        if path not in self._files:
            return web.response(http.HTTPStatus.NOT_FOUND, "There is no such file.\n")
        return web.response(http.HTTPStatus.OK, *self._files[path])

    async def talk(self, socket: websockets.ServerConnection) -> None:
        """Answers one tab, message by message, in a thread beside the event loop."""
        self._tabs += 1
        mailbox = Mailbox()
        reading = asyncio.create_task(_read(socket, mailbox))
        try:
            session = self._explorer.new_session()
            await socket.send(self._explorer.hello())
            while (message := await mailbox.get()) is not None:
                await socket.send(await asyncio.to_thread(self._explorer.answer, session, message))
        except ConnectionClosed:
            pass  # the tab was closed
        finally:
            reading.cancel()
            self._tabs -= 1


async def _read(socket: websockets.ServerConnection, mailbox: Mailbox) -> None:
    """Puts what comes into the mailbox until the connection closes."""
    try:
        async for data in socket:
            await mailbox.put(protocol.parse(data))
    except protocol.ProtocolError as error:
        await socket.close(1008, str(error)[:100])
    except ConnectionClosed:
        pass
    finally:
        mailbox.close()


def _address(host: str, port: int) -> str:
    """Returns where a browser on this machine finds the page."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"
