"""Mesh files in and out, for the modes that turn the user's own: found, named, moved, written.

A file is written by what it was read from, so that it keeps what the network never sees: polygons,
groups, colours, materials, and the parts of a scene.
"""

import codecs
import errno
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from rotdis import atomic
from rotdis.data import ply
from rotdis.data.meshes import MeshError, read_binvox
from rotdis.data.off import read_off
from rotdis.errors import DataError, RotdisError, UsageError

if TYPE_CHECKING:
    import trimesh

FORMATS = ("off", "obj", "stl", "ply", "glb")
# What is read; the surface of binvox's voxels is written as PLY.
SUFFIXES = (*(f".{name}" for name in FORMATS), ".binvox")

SUMMARIES = ("poses.json", "codes.npz", "overview.png", "report.json")

_TEXTURES = ("map_", "bump", "disp", "decal", "refl", "norm")  # statements of a material library
_LONGEST = 4096  # characters of a path


def find_meshes(source: str | Path, output: str | Path | None = None) -> list[Path]:
    """Returns the mesh file, or all of a folder and its subfolders, sorted.

    Args:
        source: a mesh file or a folder.
        output: a folder to leave out: what an earlier call wrote is no input.

    Raises:
        DataError: there is no such file or folder, or no mesh in it.
    """
    source = Path(source)
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"--input: there is no file or folder {source}")
    left_out = _inside(output, source) if output is not None else None
    paths = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not path.name.startswith("._")  # a Mac's leftovers
        and (left_out is None or left_out not in path.resolve().parents)
    )
    if not paths:
        raise DataError(f"--input: {source} holds no mesh ({', '.join(SUFFIXES)})")
    return paths


def _inside(output: str | Path, source: Path) -> Path | None:
    output = Path(output).resolve()
    return output if source.resolve() in output.parents else None


def relative_names(paths: Sequence[Path], source: str | Path) -> list[str]:
    """Returns what each file is called in results: its path below the folder, with slashes."""
    source = Path(source)
    return [path.relative_to(source).as_posix() if source.is_dir() else path.name for path in paths]


def output_names(names: Sequence[str], mesh_format: str | None) -> list[str]:
    """Returns under which names the files are written: no two alike, even where case is ignored.

    Args:
        names: as `relative_names` gives them.
        mesh_format: one of `FORMATS`; None keeps each file's own. `chair.stl` becomes `chair.obj`,
            or `chair.stl.obj` where another file would become `chair.obj` too.
    """
    wanted = []
    for name in names:
        path = PurePosixPath(name)
        own = path.suffix.lower().lstrip(".") in FORMATS
        suffix = f".{mesh_format}" if mesh_format else path.suffix if own else ".ply"
        wanted.append(str(path.with_suffix(suffix)))
    alike = Counter(name.lower() for name in wanted)
    taken: set[str] = set()
    result = []
    for name, short in zip(names, wanted, strict=True):
        suffix = PurePosixPath(short).suffix
        chosen, number = short, 2
        if alike[short.lower()] > 1:
            chosen = name if name.endswith(suffix) else f"{name}{suffix}"
        while chosen.lower() in taken:
            chosen, number = f"{short[: -len(suffix)]}_{number}{suffix}", number + 1
        taken.add(chosen.lower())
        result.append(chosen)
    return result


def prepare_output(
    source: str | Path, output: str | Path, inputs: Sequence[Path], planned: Sequence[Path]
) -> None:
    """Makes sure that the output can be written and no original would be overwritten.

    What an earlier call said of all its results (`SUMMARIES`) is removed: it would be of others as
    soon as the first new one is written.

    Raises:
        UsageError: the output is the input's folder or a file, or a result would replace an input.
        RotdisError: the folder cannot be written.
    """
    source, output = Path(source), Path(output)
    if source.is_dir() and output.resolve() == source.resolve():
        raise UsageError(f"--output: {output} is the input; results need a folder of their own")
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output: {output} is a file; results need a folder")
    originals = {path.resolve() for path in inputs}
    for path in planned:
        if path.resolve() in originals:
            raise UsageError(
                f"--output: {path} is one of the meshes of the input and would be overwritten; "
                "choose another folder"
            )
    atomic.make_folder(output)
    for name in SUMMARIES:
        (output / name).unlink(missing_ok=True)


def remove(targets: Sequence[Path]) -> None:
    """Removes what an earlier call wrote for a mesh that cannot be used now.

    Raises:
        RotdisError: a file cannot be removed.
    """
    for target in targets:
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise RotdisError(f"--output: cannot remove {target}: {error.strerror}") from error


def write_moved(path: Path, matrix: Float[np.ndarray, "4 4"], target: Path) -> None:
    """Writes a mesh file, moved by a rigid motion, in the format of the target's suffix.

    OBJ to OBJ keeps every line but the vertices and normals, and copies material libraries and
    textures that lie beside or below the file. GLB to GLB keeps the scene: its parts, names,
    materials. Else the parts become one mesh of triangles; PLY and GLB keep vertex colours, OFF
    and STL are geometry alone, and a damaged texture costs the materials, not the mesh.

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
        _copy_materials(path, target.parent, content)


def write(target: Path, content: bytes) -> None:
    """Writes a file, whole or not at all.

    Raises:
        RotdisError: it cannot be written.
    """
    try:
        atomic.write(target, content)
    except OSError as error:
        raise RotdisError(f"--output: cannot write {target}: {error.strerror}") from error


def moved(path: Path, matrix: Float[np.ndarray, "4 4"], file_type: str) -> bytes:
    """Returns the content of a mesh file, moved by a rigid motion; see `write_moved`."""
    own_type = path.suffix.lower().lstrip(".")
    if own_type == file_type == "obj":
        content = _moved_obj(path.read_bytes(), matrix)
        if content is not None:
            return content
    if file_type in ("off", "stl"):
        return _converted(path, matrix, file_type, skip_materials=True)
    try:
        return _converted(path, matrix, file_type, skip_materials=False)
    except Exception:  # perhaps a damaged texture's, which costs the materials alone
        if own_type == file_type == "glb":
            raise
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


def _copy_materials(path: Path, folder: Path, content: bytes) -> None:
    """Copies an OBJ file's material libraries, and their textures, to where it is written."""
    for line in _named(content, ("mtllib",)):
        whole = _copy_beside(path.parent, folder, line)  # a name may hold spaces
        libraries = {line: whole}
        if whole is None:
            libraries = {name: _copy_beside(path.parent, folder, name) for name in line.split()}
        for name, library in libraries.items():
            for rest in _named(library or b"", _TEXTURES):
                tail = rest[-_LONGEST:]
                for word in re.finditer(r"\S+", tail):  # options may precede a texture's name
                    texture = PurePosixPath(name).parent / tail[word.start() :]
                    if _copy_beside(path.parent, folder, texture) is not None:
                        break


def _named(content: bytes, keywords: tuple[str, ...]) -> list[str]:
    """Returns what follows any of the keywords on a line, each text once, with slashes."""
    rests = {}
    for line in content.splitlines():
        words = line.decode(errors="surrogateescape").split(maxsplit=1)
        if len(words) == 2 and words[0].lower().startswith(keywords):
            rests[words[1].rstrip().replace("\\", "/")] = None
    return list(rests)


def _copy_beside(source: Path, target: Path, name: str | PurePosixPath) -> bytes | None:
    """Copies a file from below one folder to below another and returns its content.

    None where it is no readable file, or a mesh, whose own result it would replace.
    """
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or relative.suffix.lower() in SUFFIXES:
        return None
    try:
        if not (source / relative).is_file():  # but a pipe, say, that would be waited for
            return None
        content = (source / relative).read_bytes()
    except (OSError, ValueError):  # or a name that no file can have
        return None
    if (source / relative).resolve() != (target / relative).resolve():
        write(target / relative, content)
    return content
