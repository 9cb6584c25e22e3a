"""Reads OFF files, ModelNet's format, for `meshes`: every fault is found with its line number.

ModelNet's files break the format in known ways (`OFF490 518 0` on one line), and files in the wild
in more; a reader has to tell a person which line is wrong, and must not believe a header's counts
before the lines are there.
"""

import itertools
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

_BLOCK = (
    1 << 20
)  # bytes that are cut into lines at once: a short line takes more memory than it has

# Geomview's optional prefixes: texture coordinates, colours and normals follow x y z on the line.
_LINE_END = re.compile(rb"\r\n|\r|\n")
_HEADER = re.compile(rb"^(?:ST)?C?N?OFF(?P<rest>.*)$", re.IGNORECASE)


class OffError(ValueError):
    """Says which line of an OFF file is wrong, and why."""


def read_off(
    data: bytes,
) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "faces 3"], Counter[str]]:
    """Reads an ASCII OFF file; polygons are cut into fans of triangles.

    A fan is enough even for a polygon that is not convex: the triangles' winding numbers add up to
    the polygon's. Time and memory are linear in the size of `data`, whatever its header claims:
    at most 50 bytes for each of its own, and 50 MB.

    Returns:
        Vertices (x, y, z), triangles (indices of vertices), and how often each quirk occurs:
        "fused_header", "polygons", "degenerate_faces" (fewer than three corners), "extra_lines".

    Raises:
        OffError: names the line and what is wrong there.
    """
    quirks: Counter[str] = Counter()
    lines = _lines(data)
    num_vertices, num_faces, start = _read_header(lines, quirks)

    coordinates = array("d")
    for number, tokens in _take(lines, num_vertices, "vertices", start):
        coordinates.extend(_vertex(number, tokens))
    triangles = array("q")
    for line, tokens in _take(lines, num_faces, "faces", number):
        corners = _face(line, tokens, num_vertices)
        if len(corners) < 3:
            quirks["degenerate_faces"] += 1
        if len(corners) > 3:
            quirks["polygons"] += 1
            # From the same place whichever way the corners are listed, so that a polygon's copy,
            # or its other side, is cut into the same triangles.
            first = min(range(len(corners)), key=lambda i: _place(coordinates, corners[i]))
            corners = corners[first:] + corners[:first]
        for second, third in itertools.pairwise(corners[1:]):
            triangles.extend((corners[0], second, third))
    if next(lines, None) is not None:
        quirks["extra_lines"] += 1

    return (
        np.array(coordinates, dtype=np.float64).reshape(-1, 3),
        np.array(triangles, dtype=np.int64).reshape(-1, 3),
        quirks,
    )


def _lines(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Yields (line number, tokens) of the lines that hold something besides a comment."""
    number, start = 0, 3 if data.startswith(b"\xef\xbb\xbf") else 0
    while start < len(data):
        ending = _LINE_END.search(data, start + _BLOCK)
        end = ending.end() if ending else len(data)
        for line in data[start:end].splitlines():
            number += 1
            tokens = line.split(b"#", 1)[0].split()
            if tokens:
                yield number, tokens
        start = end


def _take(
    lines: Iterator[tuple[int, list[bytes]]], count: int, what: str, last: int
) -> Iterator[tuple[int, list[bytes]]]:
    """Yields `count` entries, those after the line `last`."""
    for index in range(count):
        entry = next(lines, None)
        if entry is None:
            raise OffError(
                f"the file is cut short after line {last}: "
                f"its header promises {_digits(count)} {what}, it holds {index}"
            )
        last = entry[0]
        yield entry


def _read_header(
    lines: Iterator[tuple[int, list[bytes]]], quirks: Counter[str]
) -> tuple[int, int, int]:
    """Returns the numbers of vertices and of faces, and that of the line that has them."""
    number, tokens = next(lines, (0, []))
    if not tokens:
        raise OffError("the file is empty")
    match = _HEADER.match(tokens[0])
    if not match:
        raise OffError(f"line {number}: not an OFF file, it starts with {_show(tokens)}")
    counts = ([match["rest"]] if match["rest"] else []) + tokens[1:]
    if counts and counts[0].upper() == b"BINARY":
        raise OffError(f"line {number}: binary OFF is not supported, only text")
    if counts:
        quirks["fused_header"] += 1
    else:
        number, counts = next(lines, (number, []))
    try:
        num_vertices, num_faces = int(counts[0]), int(counts[1])
    except (ValueError, IndexError):
        raise OffError(
            f"line {number}: expected the numbers of vertices and faces, got {_show(counts)}"
        ) from None
    if num_vertices < 0 or num_faces < 0:
        raise OffError(f"line {number}: negative counts {_show(counts)}")
    if num_vertices == 0 or num_faces == 0:
        found = f"{_digits(num_vertices)} vertices and {_digits(num_faces)} faces"
        raise OffError(f"line {number}: {found}, no surface")
    return num_vertices, num_faces, number


def _vertex(number: int, tokens: list[bytes]) -> tuple[float, float, float]:
    try:
        x, y, z = map(float, tokens[:3])
    except ValueError:
        raise OffError(f"line {number}: expected a vertex x y z, got {_show(tokens)}") from None
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
        raise OffError(f"line {number}: a vertex that is not finite, {_show(tokens)}")
    return x, y, z


def _place(coordinates: array, vertex: int) -> tuple[float, ...]:
    return tuple(coordinates[3 * vertex : 3 * vertex + 3])


def _face(number: int, tokens: list[bytes], num_vertices: int) -> list[int]:
    try:
        size = int(tokens[0])
        # Colours may follow the corners; a negative size is caught by the length below.
        corners = [int(token) for token in tokens[1 : 1 + max(size, 0)]]
    except ValueError:
        size, corners = -1, []
    if len(corners) != size:
        raise OffError(
            f"line {number}: expected a face (a count and as many vertex indices), "
            f"got {_show(tokens)}"
        )
    for corner in corners:
        if not 0 <= corner < num_vertices:
            raise OffError(
                f"line {number}: a face names vertex {_digits(corner)}, "
                f"but vertices run from 0 to {num_vertices - 1}"
            )
    return corners


def _digits(number: int) -> str:
    """Writes a number that may be absurd."""
    digits = str(number)
    return digits if len(digits) < 20 else f"{digits[:10]}... ({len(digits)} digits)"


def _show(tokens: list[bytes]) -> str:
    """Quotes what was found, shortened: a damaged file's lines may be long or not even text."""
    text = b" ".join(tokens[:8])[:40].decode("ascii", errors="replace")
    return repr(text) if tokens else "nothing"
