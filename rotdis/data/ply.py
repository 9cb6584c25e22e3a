"""Binary PLY files whose polygons differ in their corners, as Blender writes them, made triangles.

Between a file and trimesh, which takes every face of a binary PLY to have as many corners as the
first; what it can read is left as it is.
"""

import itertools
import re

import numpy as np

_SCALARS = {
    name: code
    for code, names in {
        "i1": ("char", "int8"),
        "u1": ("uchar", "uint8"),
        "i2": ("short", "int16"),
        "u2": ("ushort", "uint16"),
        "i4": ("int", "int32"),
        "u4": ("uint", "uint32"),
        "f4": ("float", "float32"),
        "f8": ("double", "float64"),
    }.items()
    for name in names
}
_CORNERS = ("vertex_indices", "vertex_index")


def triangulated(data: bytes) -> bytes:
    """Returns a PLY file's content, its polygons cut into fans where they differ in their corners.

    Of the faces the corners alone are kept then; all other elements stay as they are. A fan is
    enough even for a polygon that is not convex, as for OFF (`rotdis.data.off`).

    Raises:
        ValueError: the file ends within its faces, or its header is none.
    """
    head = re.match(rb"ply\r?\n.*?\bend_header\r?\n", data, re.DOTALL)
    if head is None:
        raise ValueError("it has no PLY header")
    lines = head[0].decode("latin-1").split("\n")
    order = None
    elements: list[tuple[str, int, list[list[str]]]] = []
    for words in filter(None, map(str.split, lines)):
        if words[0] == "format":
            order = {"binary_little_endian": "<", "binary_big_endian": ">"}.get(words[1])
        elif words[0] == "element":
            elements.append((words[1], int(words[2]), []))
        elif words[0] == "property" and elements:
            elements[-1][2].append(words[1:])
    before = list(itertools.takewhile(lambda element: element[0] != "face", elements))
    lists_before = any(words[0] == "list" for _, _, fields in before for words in fields)
    if order is None or lists_before or len(before) == len(elements):
        return data  # trimesh's own affair
    if elements[len(before)][1] > len(data):
        raise ValueError("the file ends within its faces")
    start = head.end() + sum(
        count * np.dtype(_SCALARS[words[0]]).itemsize
        for _, count, fields in before
        for words in fields
    )
    _, count, fields = elements[len(before)]
    if _alike(data, start, count, fields, order):
        return data
    polygons, end = _polygons(data, start, count, fields, order)
    triangles = [
        (corners[0], corners[i], corners[i + 1])
        for corners in polygons
        for i in range(1, len(corners) - 1)
    ]
    first = next(i for i, line in enumerate(lines) if line.split()[:2] == ["element", "face"])
    rest = [line for line in lines[first + 1 :] if line]
    rest = list(itertools.dropwhile(lambda line: line.split()[0] in ("property", "comment"), rest))
    wanted = [f"element face {len(triangles)}", "property list uchar int vertex_indices"]
    header = "\n".join([*(line.rstrip("\r") for line in lines[:first]), *wanted, *rest, ""])
    rows = np.zeros(len(triangles), [("corners", "u1"), ("vertex", f"{order}i4", 3)])
    rows["corners"], rows["vertex"] = 3, np.reshape(triangles, (-1, 3))
    return header.encode("latin-1") + data[head.end() : start] + rows.tobytes() + data[end:]


def _alike(data: bytes, start: int, count: int, fields: list[list[str]], order: str) -> bool:
    """Whether all faces have as many entries in every list as the first one."""
    if not count:
        return True
    _, end = _polygons(data, start, 1, fields, order)
    layout, place = [], start
    for number, words in enumerate(fields):
        if words[0] == "list":
            counter = np.dtype(order + _SCALARS[words[1]])
            entries = int(np.frombuffer(data, counter, 1, place)[0])
            item = np.dtype(order + _SCALARS[words[2]])
            layout += [(f"n{number}", counter), (f"x{number}", item, entries)]
            place += counter.itemsize + entries * item.itemsize
        else:
            layout.append((f"x{number}", order + _SCALARS[words[0]]))
            place += np.dtype(_SCALARS[words[0]]).itemsize
    if len(data) - start < count * (end - start):
        return False
    rows = np.frombuffer(data, layout, count, start)
    return all((rows[name] == rows[name][0]).all() for name in rows.dtype.names if name[0] == "n")


def _polygons(
    data: bytes, start: int, count: int, fields: list[list[str]], order: str
) -> tuple[list[list[int]], int]:
    """Returns the corners of each face, and where the faces end."""
    polygons, place = [], start
    for _ in range(count):
        for words in fields:
            if words[0] != "list":
                place += np.dtype(_SCALARS[words[0]]).itemsize
                continue
            counter, item = (np.dtype(order + _SCALARS[name]) for name in words[1:3])
            entries = int(np.frombuffer(data, counter, 1, place)[0])
            if entries < 0:
                raise ValueError(f"a face has {entries} corners")
            place += counter.itemsize
            if words[3] in _CORNERS:
                polygons.append(np.frombuffer(data, item, entries, place).tolist())
            place += entries * item.itemsize
    if place > len(data):
        raise ValueError("the file ends within its faces")
    return polygons, place
