"""Mesh files in and out, for the modes that turn the user's own: found, named, written.

`mesh_moving` makes what is written of them.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from rotdis import atomic
from rotdis.errors import DataError, RotdisError, UsageError

FORMATS = ("off", "obj", "stl", "ply", "glb")
# What is read; the surface of binvox's voxels is written as PLY.
SUFFIXES = (*(f".{name}" for name in FORMATS), ".binvox")

SUMMARIES = ("poses.json", "codes.npz", "overview.png", "report.json")
_RECORD = ".rotdis.json"  # in a folder of results: which of its files they are


def find_meshes(source: str | Path, output: str | Path | None = None) -> list[Path]:
    """Returns the mesh file, or all of a folder and its subfolders, sorted.

    What an earlier call wrote, in a folder below, is no input; that is said.

    Args:
        source: a mesh file or a folder.
        output: a folder to leave out besides.

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
    records = {path.parent for path in source.rglob(_RECORD)} - {source}
    results = {folder / name for folder in records for name in recorded(folder)}
    if of_earlier := [path for path in paths if path in results]:
        print(f"left out, as results of earlier calls: {len(of_earlier)}, such as {of_earlier[0]}")
        paths = [path for path in paths if path not in results]
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
    source: str | Path,
    output: str | Path,
    inputs: Sequence[Path],
    planned: Sequence[str],
    copies: Mapping[str, Path] | None = None,
) -> None:
    """Makes sure that the output can be written and nothing of the user's would be overwritten.

    What an earlier call said of all its results (`SUMMARIES`) is removed: it would be of others as
    soon as the first new one is written.

    Args:
        source: what was given as the input.
        output: the folder.
        inputs: the meshes of the input.
        planned: the files that will be written besides the summaries, below the output.
        copies: those that will be copied, likewise, and of what; a copy may be there already.

    Raises:
        UsageError: the output is the input's folder or a file, or a result would replace a file
            that no earlier call wrote.
        RotdisError: the folder cannot be written.
    """
    source, output = Path(source), Path(output)
    if source.is_dir() and output.resolve() == source.resolve():
        raise UsageError(f"--output: {output} is the input; results need a folder of their own")
    originals = {path.resolve() for path in inputs}
    planned, copies = (*SUMMARIES, *planned), copies or {}
    for name in (*planned, *copies):
        if (output / name).resolve() in originals:
            raise UsageError(
                f"--output: {output / name} is one of the meshes of the input and would be "
                "overwritten; choose another folder"
            )
    earlier = claim(output, planned, copies)
    for name in SUMMARIES:
        (output / name).unlink(missing_ok=True)
    if left := sorted(earlier - {*planned, *copies}):
        print(f"{output}: files of an earlier call stay: {len(left)}, such as {left[0]}")


def claim(
    output: str | Path, planned: Sequence[str], copies: Mapping[str, Path] | None = None
) -> set[str]:
    """Notes in a folder what will be written there, once sure that nothing else is replaced.

    So the next call knows it for a result (`_RECORD`), also after this one was killed.

    Args:
        output: the folder, made where missing.
        planned, copies: as `prepare_output` takes them.

    Returns:
        What earlier calls may have written there, as paths below it.

    Raises:
        UsageError: the folder is a file, or a result would replace a file that no earlier call
            wrote.
        RotdisError: the folder cannot be written.
    """
    output, copies = Path(output), copies or {}
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output: {output} is a file; results need a folder")
    earlier = recorded(output)
    for name in (*planned, *copies):
        path = output / name
        if name not in earlier and path.exists() and not _same(path, copies.get(name)):
            raise UsageError(
                f"--output: {path} is there already and was not written by an earlier call; choose "
                "another folder, or move it away"
            )
    atomic.make_folder(output)
    _record(output, {*earlier, *planned, *copies})
    return earlier


def _same(path: Path, other: Path | None) -> bool:
    """Whether two files have the same content; not so where one cannot be read, or is none."""
    try:
        return other is not None and path.read_bytes() == other.read_bytes()
    except OSError:
        return False


def recorded(folder: Path) -> set[str]:
    """Returns what earlier calls may have written in a folder, as paths below it."""
    try:
        return set(json.loads((folder / _RECORD).read_text())["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _record(folder: Path, names: Iterable[str]) -> None:
    write(folder / _RECORD, (json.dumps({"files": sorted(names)}, indent=1) + "\n").encode())


def remove(output: Path, names: Collection[str], planned: Collection[str] = ()) -> None:
    """Removes what earlier calls wrote, and forgets it: a later file of that name is the user's.

    Args:
        output: the folder.
        names: of the files, below it.
        planned: those that will be written anew, which are not forgotten.

    Raises:
        RotdisError: a file cannot be removed.
    """
    for target in (output / name for name in names):
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise RotdisError(f"--output: cannot remove {target}: {error.strerror}") from error
    if gone := set(names) - set(planned):
        _record(output, recorded(output) - gone)


def write(target: Path, content: bytes) -> None:
    """Writes a file, whole or not at all.

    Raises:
        RotdisError: it cannot be written.
    """
    try:
        atomic.write(target, content)
    except OSError as error:
        raise RotdisError(f"--output: cannot write {target}: {error.strerror}") from error
