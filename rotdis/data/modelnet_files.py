"""Reads ModelNet as published: a zip, or its folder CLASS/{train,test}/*.off; downloads it."""

import dataclasses
import errno
import functools
import hashlib
import http.client
import os
import stat
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import ml_collections
from tqdm import tqdm

from rotdis.data.alone import alone
from rotdis.data.sources import SPLITS, Item, Source, archive_identity, file_identity
from rotdis.errors import DataError

# Princeton's addresses. It publishes no checksums; these are what CompressAI, Flux3D.jl and others
# found independently of each other.
URLS = {
    "modelnet10": "http://vision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
    "modelnet40": "http://modelnet.cs.princeton.edu/ModelNet40.zip",
}
SHA256 = {
    "modelnet10": "9d8679435fc07d1d26f13009878db164a7aa8ea5e7ea3c8880e42794b7307d51",
    "modelnet40": "42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac",
}
MAX_MESH_BYTES = 256 << 20  # the largest file of ModelNet40 is about 130 MB
_MOST_FOLDS = 100  # that an OFF file is compressed; ModelNet's are about 5


@dataclasses.dataclass(frozen=True)
class _MeshFile:
    path: Path

    def voxels(self, resolution: int, supersample: int):
        return _voxelize(self.path, self.path.name, resolution, supersample)


@dataclasses.dataclass(frozen=True)
class _ZipEntry:
    archive: Path
    entry: str

    def voxels(self, resolution: int, supersample: int):
        try:
            archive = _opened(self.archive, self.archive.stat().st_mtime_ns)
            info = archive.getinfo(self.entry)
            _check_size(info)
            data = archive.read(info)
        except Exception as error:  # damaged archives raise nearly anything: zlib.error, LZMAError
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self.archive}: {self.entry} cannot be read ({reason})") from error
        return _voxelize(data, self.entry, resolution, supersample)


@functools.lru_cache(maxsize=1)
def _opened(archive: Path, _modified: int) -> zipfile.ZipFile:
    """A zip whose directory is read once a process, not once an object."""
    return zipfile.ZipFile(archive)


def _voxelize(source: Path | bytes, name: str, resolution: int, supersample: int):
    from rotdis.data import meshes, voxelize

    loaded = meshes.load_mesh(source, name=name, file_type="off")
    return voxelize.voxelize(loaded.mesh, resolution, supersample), loaded.quirks


def open_folder(folder: Path) -> Source:
    """Opens a folder in ModelNet's layout.

    Raises:
        DataError: it holds no CLASS/{train,test}/*.off.
    """
    files = _visible(folder.glob("*/*/*")) or _visible(folder.glob("*/*/*/*"))
    entries = [(path.parts[-3:], _MeshFile(path)) for path in files]
    identity = {
        "folder": str(folder.resolve()),
        "files": [{"in": path.parts[-3:-1]} | file_identity(path) for path in files],
    }
    return _assemble(folder, folder.name, identity, entries)


def _visible(paths: Iterable[Path]) -> list[Path]:
    """Returns the OFF files, without a Mac's `._name.off`, folders and pipes, which are none."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() == ".off" and not path.name.startswith(".") and path.is_file()
    )


def open_zip(path: Path) -> Source:
    """Opens a ModelNet zip; entries are read where they are, nothing is unpacked to disk.

    Raises:
        DataError: it is not readable, damaged or encrypted, or holds no CLASS/{train,test}/*.off.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
    except Exception as error:  # damaged archives raise nearly anything, EINVAL by seeking as well
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{path}: is not a complete zip ({reason}); delete it and download it again"
        ) from error
    # Of several entries of one name the last is the one that is read, so it is the one checked.
    by_name = {info.filename: info for info in files}
    entries = [
        (PurePosixPath(name).parts[-3:], _ZipEntry(path, name))
        for name, info in sorted(by_name.items())
        if _is_mesh(path, info)
    ]
    identity = archive_identity(path, by_name.values())
    return _assemble(path, path.stem, identity, entries, len(files) - len(entries))


def _is_mesh(path: Path, info: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(info.filename)
    if "__MACOSX" in name.parts or name.name.startswith(".") or name.suffix.lower() != ".off":
        return False
    if info.flag_bits & 1:
        raise DataError(f"{path}: {info.filename} is encrypted; unpack it and give the folder")
    # Nothing is unpacked, so odd paths and links can do no harm; they are still no meshes.
    linked = stat.S_ISLNK(info.external_attr >> 16)
    return not linked and ".." not in name.parts


def _check_size(info: zipfile.ZipInfo) -> None:
    """Raises ValueError for a zip bomb; nothing more than what is checked here is ever unpacked."""
    if info.file_size > MAX_MESH_BYTES:
        raise ValueError(
            f"it unpacks to {info.file_size / 2**20:,.0f} MB, over the limit of "
            f"{MAX_MESH_BYTES >> 20} MB"
        )
    if info.file_size > _MOST_FOLDS * info.compress_size + 4096:
        raise ValueError(
            f"it unpacks to {info.file_size:,} bytes, over {_MOST_FOLDS} times "
            f"its {info.compress_size:,}: no mesh is that regular"
        )


def _assemble(
    path: Path,
    name: str,
    identity: dict,
    entries: Iterable[tuple[tuple[str, ...], object]],
    passed_over: int = 0,
) -> Source:
    """Sorts meshes into splits; counts what is none, lies elsewhere, or comes a second time."""
    splits: dict[str, dict[str, Item]] = {split: {} for split in SPLITS}
    for names, payload in entries:
        parts = tuple(map(_text, names))
        source_id = "/".join(parts)
        if len(parts) == 3 and parts[1] in SPLITS and source_id not in splits[parts[1]]:
            splits[parts[1]][source_id] = Item(source_id, parts[0], payload)
        else:
            passed_over += 1
    classes = sorted({item.class_name for items in splits.values() for item in items.values()})
    if not classes:
        raise DataError(f"{path}: holds no meshes laid out as CLASS/train/*.off, CLASS/test/*.off")
    return Source(
        _text(name),
        identity,
        tuple(classes),
        {split: list(items.values()) for split, items in splits.items()},
        notes={"files_passed_over": passed_over},
    )


def _text(name: str) -> str:
    r"""Returns a file's name as it can be stored: bytes that are not UTF-8 as `\udcXX`."""
    return name.encode(errors="backslashreplace").decode()


def download_path(config: ml_collections.ConfigDict) -> Path:
    """Returns where the zip of `config.dataset` is kept once it was downloaded."""
    name = URLS[config.dataset].rsplit("/", 1)[1]
    return Path(os.path.expanduser(config.dir)) / "downloads" / name


def download(config: ml_collections.ConfigDict) -> Path:
    """Returns the zip of `config.dataset`, downloaded where it is not there yet.

    Raises:
        DataError: the address fails, and the message says where to put the zip by hand; or
            `config.dir` cannot be written.
    """
    url, target = URLS[config.dataset], download_path(config)
    if not target.exists():
        with alone(target.parent):
            if not target.exists():  # another process may have done it meanwhile
                _download(url, target, SHA256[config.dataset])
    return target


def _download(url: str, target: Path, sha256: str) -> None:
    partial = target.with_suffix(".part")
    try:
        with urllib.request.urlopen(url, timeout=30) as response, partial.open("wb") as file:
            size = int(response.headers.get("Content-Length") or 0)
            digest = hashlib.sha256()
            with tqdm(total=size or None, unit="B", unit_scale=True, desc=target.name) as bar:
                while chunk := response.read(1 << 20):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
        if size and partial.stat().st_size != size:
            raise OSError(f"{partial.stat().st_size} of {size} bytes came")
        if digest.hexdigest() != sha256:
            raise OSError(
                f"what came is another file: its SHA-256 is {digest.hexdigest()}, not {sha256}"
            )
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
        partial.unlink(missing_ok=True)
        raise DataError(
            f"{url}: the download failed ({error}); get {target.name} by another way and put it at "
            f"{target}, or give its path as --config.data.source"
        ) from error
    os.replace(partial, target)
