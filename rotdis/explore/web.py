"""What the server says over HTTP: the page's files, and no to requests from elsewhere."""

import http
import importlib.resources
import ipaddress
import socket
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Response

# The page loads nothing from elsewhere, and is shown in no other page.
_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; form-action 'none'"
# Not by the system's table of types, which may have been changed.
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def is_loopback(host: str) -> bool:
    """Returns whether what listens on an address is reached from this machine alone."""
    try:
        found = {each[4][0] for each in socket.getaddrinfo(host, None)} if host else set()
        return bool(found) and all(ipaddress.ip_address(each).is_loopback for each in found)
    except (OSError, ValueError):
        return False


def is_foreign(headers: Headers, local: bool) -> bool:
    """Returns whether a request comes by way of another site.

    Any page that a browser shows may open connections to this machine, but their Origin tells. By a
    name of its own that is made to lead here (DNS rebinding) it would have our Origin, but the Host
    tells.

    Args:
        headers: of the request.
        local: whether the server is for this machine alone.
    """
    asked = headers.get("Host", "")
    if local and not _names_loopback(asked):
        return True
    origin = headers.get("Origin")
    return origin is not None and origin != f"http://{asked}"


def _names_loopback(asked: str) -> bool:
    """Whether a Host is an address of this machine, or localhost; no other name is looked up."""
    try:
        name = urlsplit(f"//{asked}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def page_files() -> dict[str, tuple[bytes, str]]:
    """Returns the page's files, path -> content and type; there are no others to be had."""
    folder = importlib.resources.files("rotdis.explore") / "page"
    files = {}
    for file in folder.iterdir():
        suffix = PurePosixPath(file.name).suffix
        if suffix in _TYPES:
            files[f"/{file.name}"] = file.read_bytes(), _TYPES[suffix]
    return files | {"/": files["/index.html"]}


def response(status: http.HTTPStatus, content: bytes | str, kind: str = "text/plain") -> Response:
    """Returns a response that no other site may use."""
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
