"""Serves the page and answers it: one port, one WebSocket and one session for each browser tab.

A small server of our own on `websockets`, since a page that must not reach beyond this machine has
to refuse what general viewers let through: uploads are bounded while they arrive, requests that
come by way of another site are turned away, and no request leads outside.
"""

import asyncio
import http
import importlib.resources
import logging
import mimetypes
import webbrowser
from collections.abc import Callable
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import numpy as np
from jaxtyping import Float
from websockets.asyncio import server as websockets
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from rotdis.data import meshes, voxelize
from rotdis.data.voxelset import VoxelSet
from rotdis.errors import RotdisError
from rotdis.explore import objects as explored
from rotdis.explore import protocol
from rotdis.explore.mailbox import Mailbox
from rotdis.explore.session import EXPORT_FORMATS, PARTS, Session
from rotdis.inference import Model

UPLOAD_LIMIT = 20_000_000  # bytes of a mesh file
UPLOAD_TYPES = ("off", "obj", "stl", "ply", "glb")
MOST_TABS = 16
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'none'"


class Server:
    """The page on one model, for any number of tabs.

    Args:
        model: the trained model.
        objects: to choose from.
        description: of the objects, in words.
        name: of the model, in words.
    """

    def __init__(self, model: Model, objects: VoxelSet, description: str, name: str):
        self._model, self._objects = model, objects
        self._about = {"model": name, "objects": description}
        self._directions = explored.directions(explored.encode(model, objects))
        self._files = _page_files()
        self._tabs = 0
        self._warm_up()

    def _warm_up(self) -> None:
        """Compiles all that a drag needs, so that the first is as quick as the others."""
        session = self.new_session()
        session.open("", self._voxels(0))
        shown = session.infer(np.eye(3), upright=True)
        session.decode(np.eye(3))
        for part, volume in shown.volumes.items():
            protocol.mesh_arrays(part, volume)

    def new_session(self) -> Session:
        """Returns the state of a new tab."""
        return Session(self._model, self._directions)

    async def serve(self, host: str, port: int, ready: Callable[[str], None]) -> None:
        """Serves until it is cancelled.

        Args:
            host: the address to listen on.
            port: the port; 0 for any that is free.
            ready: called with the page's address once it can be opened.

        Raises:
            RotdisError: the address cannot be listened on.
        """
        logger = logging.getLogger("rotdis.explore")
        logger.setLevel(logging.ERROR)
        # What does not even begin to be a request, or goes away in the middle, is no one's error.
        logger.addFilter(lambda record: record.getMessage() != "opening handshake failed")

        def respond(connection: websockets.ServerConnection, request: Request) -> Response | None:
            return self._respond(request, host)

        try:
            listening = await websockets.serve(
                self._talk,
                host,
                port,
                process_request=respond,
                max_size=UPLOAD_LIMIT + protocol.ENVELOPE,
                max_queue=2,
                compression=None,
                logger=logger,
            )
        except OSError as error:
            raise RotdisError(
                f"--host={host} --port={port}: cannot listen there ({error.strerror or error}); "
                "try another port"
            ) from error
        async with listening:
            port = listening.sockets[0].getsockname()[1]
            name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
            ready(f"http://{f'[{name}]' if ':' in name and name[0] != '[' else name}:{port}/")
            await listening.serve_forever()

    def _respond(self, request: Request, host: str) -> Response | None:
        """Answers a request for a file; returns None where it opens a WebSocket."""
        if _foreign(request.headers, host):
            return _response(http.HTTPStatus.FORBIDDEN, "This page is for this machine alone.\n")
        path = urlsplit(request.path).path
        if path == "/socket":
            if self._tabs >= MOST_TABS:
                return _response(http.HTTPStatus.SERVICE_UNAVAILABLE, "Too many tabs.\n")
            return None
        if path not in self._files:
            return _response(http.HTTPStatus.NOT_FOUND, "There is no such file.\n")
        return _response(http.HTTPStatus.OK, *self._files[path])

    async def _talk(self, socket: websockets.ServerConnection) -> None:
        self._tabs += 1
        mailbox = Mailbox()
        reading = asyncio.create_task(_read(socket, mailbox))
        try:
            session = self.new_session()
            await socket.send(self._hello())
            while (data := await mailbox.get()) is not None:
                await socket.send(await asyncio.to_thread(self._answer, session, data))
        except ConnectionClosed:
            pass  # the tab was closed
        finally:
            reading.cancel()
            self._tabs -= 1

    def _hello(self) -> bytes:
        names = self._objects.class_names
        labels = self._objects.label
        return protocol.pack(
            "hello",
            about=self._about,
            objects=[
                {"class": names[label], "name": PurePosixPath(source_id).stem}
                for label, source_id in zip(labels, self._objects.source_id, strict=True)
            ],
            shares=self._directions.shares.tolist(),
            resolution=self._model.resolution,
            turns=self._model.config.pose.method != "none",
            uploadLimit=UPLOAD_LIMIT,
            uploadTypes=UPLOAD_TYPES,
            exportFormats=EXPORT_FORMATS,
        )

    def _answer(self, session: Session, message: protocol.Message) -> bytes:
        """Returns the answer to a message; whatever the user can mend is an answer too."""
        try:
            match message:
                case protocol.View():
                    return self._show(session, message)
                case protocol.Open(index):
                    name = PurePosixPath(self._objects.source_id[index]).stem
                    return _opened(session, name, self._voxels(index))
                case protocol.Upload(name, content):
                    return _opened(session, name, read_upload(name, content, session.model))
                case protocol.Sample(seed):
                    session.sample(seed)
                    return protocol.pack("sampled")
                case protocol.Export(parts, file_format):
                    content = np.frombuffer(session.export(parts, file_format), np.uint8)
                    name = f"{session.name or 'shape'}_{'_'.join(sorted(set(parts) & set(PARTS)))}"
                    return protocol.pack("file", {"content": content}, name=f"{name}.{file_format}")
        except (RotdisError, ValueError, IndexError) as error:
            return protocol.pack("error", message=" ".join(str(error).split()))

    def _show(self, session: Session, view: protocol.View) -> bytes:
        if view.mode == "infer" and session.voxels is None:
            raise RotdisError("choose an object first")
        show = session.infer if view.mode == "infer" else session.decode
        shown = show(view.rotation, view.amounts, view.upright)
        arrays = {}
        for part, volume in shown.volumes.items():
            if part != "input":  # the page turns the surface that it has
                arrays |= protocol.mesh_arrays(part, volume)
        inferred = shown.inference and {
            "moved": shown.inference.moved,
            "iou": shown.inference.iou,
            "hypotheses": [[h.weight, h.angle] for h in shown.inference.hypotheses],
        }
        return protocol.pack(
            "shown", arrays, sequence=view.sequence, mode=view.mode, inference=inferred
        )

    def _voxels(self, index: int) -> Float[np.ndarray, "d d d"]:
        if not 0 <= index < len(self._objects):
            raise IndexError(f"there is no object {index}")
        return self._objects.voxels(np.array([index]))[0]


def run(server: Server, host: str, port: int, open_browser: bool = True) -> None:
    """Serves until Ctrl-C.

    Raises:
        RotdisError: the address cannot be listened on.
    """

    def ready(address: str) -> None:
        print(f"explore: {address} (Ctrl-C ends it)", flush=True)
        if host not in _LOOPBACK:
            print("explore: other machines can reach it too, and nothing asks them for a password")
        if open_browser:
            webbrowser.open(address)

    try:
        asyncio.run(server.serve(host, port, ready))
    except KeyboardInterrupt:
        print("explore: ended")


def read_upload(name: str, content: bytes, model: Model) -> Float[np.ndarray, "d d d"]:
    """Returns the object in a mesh file, normalized. The file is read in memory, not written.

    Raises:
        MeshError: it is over the limit, of another format, damaged, or encloses nothing.
    """
    name = PurePosixPath(name.replace("\\", "/")).name or "mesh"
    if len(content) > UPLOAD_LIMIT:
        raise meshes.MeshError(f"{name}: is over the limit of {UPLOAD_LIMIT // 1_000_000} MB")
    if PurePosixPath(name).suffix.lower().lstrip(".") not in UPLOAD_TYPES:
        raise meshes.MeshError(f"{name}: not one of {', '.join(UPLOAD_TYPES)}")
    mesh = meshes.load_mesh(content, name).mesh
    return voxelize.voxelize(mesh, model.resolution, supersample=2)


def _opened(session: Session, name: str, voxels: Float[np.ndarray, "d d d"]) -> bytes:
    session.open(PurePosixPath(name.replace("\\", "/")).stem, voxels)
    return protocol.pack("opened", protocol.mesh_arrays("input", voxels), name=session.name)


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


def _foreign(headers: Headers, host: str) -> bool:
    """Whether a request comes by way of another site, or by a name that was made to lead here.

    Any page that a browser shows may open connections to this machine; its Origin tells. By a name
    of its own that resolves to this machine it would pass as the origin of ours; the Host tells.
    """
    asked = headers.get("Host", "")
    if host in _LOOPBACK and urlsplit(f"//{asked}").hostname not in _LOOPBACK:
        return True
    origin = headers.get("Origin")
    return origin is not None and origin != f"http://{asked}"


def _page_files() -> dict[str, tuple[bytes, str]]:
    """Returns the page's files, path -> content and type; there are no others to be had."""
    folder = importlib.resources.files("rotdis.explore") / "page"
    files = {
        f"/{file.name}": (
            file.read_bytes(),
            # Not by the system's table, which may have been changed.
            {".js": "text/javascript"}.get(PurePosixPath(file.name).suffix)
            or mimetypes.guess_type(file.name)[0]
            or "text/plain",
        )
        for file in folder.iterdir()
        if file.is_file()
    }
    return files | {"/": files["/index.html"]}


def _response(status: http.HTTPStatus, content: bytes | str, kind: str = "text/plain") -> Response:
    body = content.encode() if isinstance(content, str) else content
    headers = Headers(
        {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": _POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache",
            "Connection": "close",
        }
    )
    return Response(status.value, status.phrase, headers, body)
