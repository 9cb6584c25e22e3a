"""A mesh file moved by a rigid motion, as a file again.

It is written by what it was read from, so that it keeps what the network never sees: polygons,
groups, colours, materials, and the parts of a scene.
"""

import codecs
import contextlib
import errno
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from rotdis.data import gltf, ply
from rotdis.data.meshes import MeshError, read_binvox
from rotdis.data.off import read_off
from rotdis.errors import RotdisError
from rotdis.mesh_files import SUFFIXES, write

if TYPE_CHECKING:
    import trimesh

_TEXTURES = ("map_", "bump", "disp", "decal", "refl", "norm")  # statements of a material library
_LONGEST = 4096  # characters of a path


def write_moved(path: Path, matrix: Float[np.ndarray, "4 4"], target: Path) -> None:
    """Writes a mesh file, moved by a rigid motion, in the format of the target's suffix.

    OBJ to OBJ keeps every line but the vertices and normals, and copies material libraries and
    textures that lie beside or below the file (`all_copies`). GLB to GLB keeps everything, and
    places its scenes by one more node (scenes that share a part are written anew). Else the parts
    become one mesh of triangles; PLY and GLB keep vertex colours, PLY to PLY normals too, OFF and
    STL are geometry alone, and a damaged texture costs the materials, not the mesh.

    Raises:
        MeshError: the file cannot be read or written in that format.
        RotdisError: the target cannot be written.
        OSError: the disk fails in reading.
    """
    try:
        content = moved(path, matrix, target.suffix.lower().lstrip("."))
    except RotdisError:
        raise
    except Exception as error:  # whatever trimesh's readers and writers make of one odd file
        # Pillow's errors on a damaged picture are OSErrors too, but without a number.
        if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise MeshError(f"{path}: cannot be written as {target.suffix}: {reason}") from error
    write(target, content)
    if path.suffix.lower() == target.suffix.lower() == ".obj":
        for name, copied in _materials(path.parent, content):
            if (path.parent / name).resolve() != (target.parent / name).resolve():
                write(target.parent / name, copied)


def all_copies(paths: Sequence[Path], targets: Sequence[str]) -> dict[str, Path]:
    """Returns what `write_moved` copies besides, of several files.

    Args:
        paths: of the mesh files. What cannot be read is left out.
        targets: where each is written, below one folder, with slashes.

    Returns:
        Where a copy is written, likewise -> from where.
    """
    found = {}
    for path, target in zip(paths, map(PurePosixPath, targets), strict=True):
        if path.suffix.lower() == target.suffix.lower() == ".obj":
            with contextlib.suppress(OSError):
                for name, _ in _materials(path.parent, path.read_bytes()):
                    found[(target.parent / name).as_posix()] = path.parent / name
    return found


def moved(path: Path, matrix: Float[np.ndarray, "4 4"], file_type: str) -> bytes:
    """Returns the content of a mesh file, moved by a rigid motion; see `write_moved`."""
    own_type = path.suffix.lower().lstrip(".")
    move = {"obj": _moved_obj, "glb": gltf.moved_glb}.get(own_type)
    if own_type == file_type and move is not None:
        content = move(path.read_bytes(), matrix)
        if content is not None:
            return content
    if file_type in ("off", "stl"):
        return _converted(path, matrix, file_type, skip_materials=True)
    try:
        return _converted(path, matrix, file_type, skip_materials=False)
    except Exception:  # perhaps a damaged texture's, which costs the materials alone
        return _converted(path, matrix, file_type, skip_materials=True)


def _converted(
    path: Path, matrix: Float[np.ndarray, "4 4"], file_type: str, skip_materials: bool
) -> bytes:
    import trimesh

    own_type = path.suffix.lower().lstrip(".")
    if own_type == "binvox":
        scene = trimesh.Scene(read_binvox(path.read_bytes()))
    elif own_type == "off":
        vertices, faces, _ = read_off(path.read_bytes())
        scene = trimesh.Scene(trimesh.Trimesh(vertices, faces, process=False))
    else:
        # OBJ files name others beside them; to trimesh, a name must be valid Unicode.
        source = path if own_type == "obj" else path.read_bytes()
        if own_type == "ply":
            source = ply.triangulated(source)
        source = io.BytesIO(source) if isinstance(source, bytes) else source
        options = {"process": False, "skip_materials": skip_materials}
        scene = trimesh.load_scene(source, file_type=own_type, **options)
    if file_type == "glb":
        scene.apply_transform(matrix)
        return scene.export(file_type="glb")
    if own_type == file_type == "ply":
        (mesh,) = scene.geometry.values()  # `to_mesh` would lose its normals
    else:
        mesh = scene.to_mesh()
    mesh.apply_transform(matrix)
    return encoded(mesh, file_type)


def encoded(mesh: "trimesh.Trimesh", file_type: str) -> bytes:
    """Returns a mesh as a file's content; text formats with nine significant digits."""
    options = {}
    if file_type in ("off", "obj"):  # trimesh counts digits behind the point
        size = float(np.abs(mesh.vertices).max(initial=0)) or 1.0
        options["digits"] = int(np.clip(9 - math.floor(math.log10(size)), 6, 40))
    if file_type == "obj":
        options["include_texture"] = False
    content = mesh.export(file_type=file_type, **options)
    return content.encode() if isinstance(content, str) else content


def _moved_obj(data: bytes, matrix: Float[np.ndarray, "4 4"]) -> bytes | None:
    """Moves the lines `v` and `vn` of an OBJ file; None where one is not plain, or no `v` there."""
    data = data.removeprefix(codecs.BOM_UTF8)
    lines = data.split(b"\n" if b"\n" in data else b"\r")
    for keyword, shift in ((b"v", matrix[:3, 3]), (b"vn", 0.0)):
        rows = [
            (number, fields)
            for number, line in enumerate(lines)
            if line.lstrip().startswith(keyword) and (fields := line.split())[0] == keyword
        ]
        try:
            points = np.array([[float(x) for x in fields[1:4]] for _, fields in rows])
        except ValueError:
            return None
        if not rows and keyword == b"vn":
            continue
        if points.shape[1:] != (3,) or any(fields[-1] == b"\\" for _, fields in rows):
            return None
        points = points @ matrix[:3, :3].T + shift
        for (number, fields), point in zip(rows, points, strict=True):
            ending = b"\r" if lines[number].endswith(b"\r") else b""
            numbers = [f"{value:.12g}".encode() for value in point]
            lines[number] = b" ".join([keyword, *numbers, *fields[4:]]) + ending
    return b"\n".join(lines)


def _materials(folder: Path, content: bytes) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yields the material libraries of an OBJ file, and their textures: names and contents.

    Args:
        folder: where the file lies, and below which they are looked for.
        content: of the file.
    """
    for line in _named(content, ("mtllib",)):
        whole = _beside(folder, line)  # a name may hold spaces
        libraries = {line: whole}
        if whole is None:
            libraries = {name: _beside(folder, name) for name in line.split()}
        for name, library in libraries.items():
            if library is None:
                continue
            yield PurePosixPath(name), library
            for rest in _named(library, _TEXTURES):
                tail = rest[-_LONGEST:]
                for word in re.finditer(r"\S+", tail):  # options may precede a texture's name
                    texture = PurePosixPath(name).parent / tail[word.start() :]
                    if (picture := _beside(folder, texture)) is not None:
                        yield texture, picture
                        break


def _named(content: bytes, keywords: tuple[str, ...]) -> list[str]:
    """Returns what follows any of the keywords on a line, each text once, with slashes."""
    rests = {}
    for line in content.splitlines():
        words = line.decode(errors="surrogateescape").split(maxsplit=1)
        if len(words) == 2 and words[0].lower().startswith(keywords):
            rests[words[1].rstrip().replace("\\", "/")] = None
    return list(rests)


def _beside(folder: Path, name: str | PurePosixPath) -> bytes | None:
    """Returns the content of a file below a folder; None where it is no readable file, or a mesh.

    (A mesh's own result would be replaced by a copy.)
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or relative.suffix.lower() in SUFFIXES:
        return None
    try:
        if not (folder / relative).is_file():  # but a pipe, say, that would be waited for
            return None
        return (folder / relative).read_bytes()
    except (OSError, ValueError):  # or a name that no file can have
        return None
