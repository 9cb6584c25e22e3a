"""The file of a trained model: parameters at half precision, configuration, golden outputs.

One line of ASCII, "rotdis-model FORMAT SHA256", and then a NumPy archive whose digest that is:
`manifest` (JSON), every parameter under its path (`parameters/encoder/Dense_0/kernel`), and every
golden array (`golden/z_mean`, see `rotdis.packaged.golden`). A parameter of shape S is stored as
uint8 (2, *S): the high bytes of its 16-bit floats, then the low ones, since high bytes resemble
each other and shrink well. Nothing in it is pickled.
"""

import dataclasses
import hashlib
import io
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from jaxtyping import Float, UInt8

from rotdis import __version__, npz
from rotdis.errors import CheckpointError

FORMAT = 1  # raised by a change that gives files of before another meaning
DTYPES = ("float16", "bfloat16")  # the first rounds to 11 bits, the second to 8 but shrinks better
_MAGIC = b"rotdis-model"


@dataclasses.dataclass(frozen=True)
class Archive:
    """What a model's file holds.

    Attributes:
        config: section -> field -> value, as it was saved.
        params: of the model, float32, nested.
        golden: the golden arrays by name.
        dtype: at which the parameters were stored.
        step: of the training, at which they were taken.
    """

    config: dict
    params: optax.Params
    golden: dict[str, np.ndarray]
    dtype: str
    step: int


def pack(archive: Archive) -> bytes:
    """Returns the content of a model's file, the same for the same archive.

    Raises:
        CheckpointError: a parameter is not finite at this precision.
    """
    manifest = {
        "config": archive.config,
        "dtype": archive.dtype,
        "step": archive.step,
        "rotdis": __version__,
    }
    arrays = {"manifest": np.array(json.dumps(manifest, sort_keys=True))}
    for name, leaf in traverse_util.flatten_dict(archive.params, sep="/").items():
        arrays[f"parameters/{name}"] = _split(np.asarray(leaf), archive.dtype, name)
    arrays |= {f"golden/{name}": array for name, array in archive.golden.items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    body = stream.getvalue()
    return b"%s %d %s\n" % (_MAGIC, FORMAT, hashlib.sha256(body).hexdigest().encode()) + body


def read(path: str | Path) -> Archive:
    """Reads a model's file.

    Raises:
        CheckpointError: it is no such file, of another format, or damaged.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from error
    head, _, body = content.partition(b"\n")
    words = head.split(b" ")
    if len(words) != 3 or words[0] != _MAGIC or not re.fullmatch(rb"\d{1,9}", words[1]):
        raise CheckpointError(f"{path}: is not a model that rotdis exported")
    if int(words[1]) != FORMAT:
        raise CheckpointError(
            f"{path}: has format {int(words[1])}, this version of rotdis reads format {FORMAT}; "
            "use the version that exported it"
        )
    if hashlib.sha256(body).hexdigest().encode() != words[2]:
        raise CheckpointError(
            f"{path}: is damaged (its checksum is not the one that it states): copy or export it "
            "again"
        )
    try:
        arrays = npz.read(io.BytesIO(body))
        manifest = json.loads(str(arrays.pop("manifest")))
        flat = {
            name.removeprefix("parameters/"): _join(array, manifest["dtype"])
            for name, array in arrays.items()
            if name.startswith("parameters/")
        }
        golden = {
            name.removeprefix("golden/"): array
            for name, array in arrays.items()
            if name.startswith("golden/")
        }
        return Archive(
            manifest["config"],
            traverse_util.unflatten_dict(flat, sep="/"),
            golden,
            manifest["dtype"],
            manifest["step"],
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is not a model that rotdis exported ({error})") from error


def rounded(params: optax.Params, dtype: str) -> optax.Params:
    """Returns parameters as they will be read from a file that stores them at this precision."""
    flat = traverse_util.flatten_dict(params)
    return traverse_util.unflatten_dict(
        {key: _join(_split(np.asarray(leaf), dtype, key), dtype) for key, leaf in flat.items()}
    )


def check_same_tree(path: object, found: optax.Params, expected: optax.Params) -> None:
    """Makes sure that parameters are those of the model that the configuration describes.

    Raises:
        CheckpointError: they are not; the message names the parameters that differ.
    """
    shapes = {name: tuple(leaf.shape) for name, leaf in _flat(found).items()}
    wanted = {name: tuple(leaf.shape) for name, leaf in _flat(expected).items()}
    differing = [
        f"{name} ({shapes.get(name, 'absent')} there, {wanted.get(name, 'absent')} here)"
        for name in sorted(shapes.keys() | wanted.keys())
        if shapes.get(name) != wanted.get(name)
    ]
    if differing:
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise CheckpointError(
            f"{path}: its parameters are not of the model that this version of rotdis builds from "
            f"its configuration; they differ in {', '.join(differing[:5])}{more}"
        )


def _flat(params: optax.Params) -> dict:
    return traverse_util.flatten_dict(params, sep="/")


def _split(leaf: Float[np.ndarray, "..."], dtype: str, name: object) -> UInt8[np.ndarray, "2 ..."]:
    with np.errstate(over="ignore"):
        half = leaf.astype(jnp.dtype(dtype))
    if not np.isfinite(half.astype(np.float32)).all():
        raise CheckpointError(f"the parameter {name} holds values that are not finite in {dtype}")
    bits = half.view(np.uint16)
    return np.stack([bits >> 8, bits & 255]).astype(np.uint8)


def _join(planes: UInt8[np.ndarray, "2 ..."], dtype: str) -> Float[np.ndarray, "..."]:
    bits = (planes[0].astype(np.uint16) << 8) | planes[1]
    return bits.view(jnp.dtype(dtype)).astype(np.float32)
