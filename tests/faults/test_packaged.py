"""Bad model files: damage is noticed, and what is made to harm is a file like any other bad one."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from faults import damage
from tiny import tiny_config

import rotdis
from rotdis import step
from rotdis.errors import CheckpointError
from rotdis.models import rotation_vae
from rotdis.packaged import archive


@pytest.fixture(scope="module")
def content() -> bytes:
    """A model's file, of parameters drawn at random."""
    config, random = tiny_config(), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: step.init_state(rotation_vae.create(config), config)).params
    params = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(np.float32), shapes)
    golden = {"z_mean": np.zeros((1, 4), np.float32)}
    return archive.pack(archive.Archive(config.to_dict(), params, golden, "float16", 7))


def _damage(content: bytes, path: Path, count: int, record_fault) -> None:
    for kind, damaged in damage.each(content, count):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=f"^{path}: ") as caught:
            rotdis.load(path)
        assert "\n" not in str(caught.value), kind
    record_fault("packaged model: bits, bytes and ends", count, "CheckpointError that names it")


def test_damage_is_noticed(content, tmp_path, record_fault):
    _damage(content, tmp_path / "a.rotdis", 200, record_fault)


@pytest.mark.slow
def test_damage_is_noticed_at_length(content, tmp_path, record_fault):
    _damage(content, tmp_path / "a.rotdis", 20_000, record_fault)


@pytest.mark.parametrize("head", [b"9" * 5000, b"-1", b"1_0", "\u0661".encode(), b"", b"2"])
def test_a_format_that_is_none_is_told(content, tmp_path, head):
    path = tmp_path / "a.rotdis"
    path.write_bytes(content.replace(b"rotdis-model 1 ", b"rotdis-model " + head + b" ", 1))
    with pytest.raises(CheckpointError, match=f"^{path}: "):
        rotdis.load(path)


Change = Callable[[dict[str, np.ndarray], dict], object]


def _forged(content: bytes, change: Change) -> bytes:
    """Returns a file whose checksum is right, but whose content someone made."""
    _, _, body = content.partition(b"\n")
    with np.load(io.BytesIO(body)) as file:
        arrays = {name: file[name] for name in file.files}
    manifest = json.loads(str(arrays["manifest"]))
    replaced = change(arrays, manifest)
    if "manifest" in arrays:
        text = json.dumps(manifest) if replaced is None else replaced
        arrays["manifest"] = np.array(text)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    forged = stream.getvalue()
    digest = hashlib.sha256(forged).hexdigest().encode()
    return b"rotdis-model 1 %s\n%s" % (digest, forged)


def _first(arrays: dict[str, np.ndarray]) -> str:
    return next(name for name in arrays if name.startswith("parameters/"))


def _without(values: dict, name: str) -> None:
    del values[name]


def _reached(manifest: dict, *keys: str, value: object) -> None:
    for key in keys[:-1]:
        manifest = manifest[key]
    manifest[keys[-1]] = value


FORGERIES: dict[str, Change] = {
    "objects": lambda a, m: a.update({_first(a): np.array([Path("x")], object)}),
    "no manifest": lambda a, m: _without(a, "manifest"),
    "manifest of another form": lambda a, m: "[]",
    "manifest that is no JSON": lambda a, m: "{",
    "manifest without end": lambda a, m: "[" * 50_000,
    "no configuration": lambda a, m: _without(m, "config"),
    "configuration that is a list": lambda a, m: _reached(m, "config", value=[1]),
    "section that is a number": lambda a, m: _reached(m, "config", "model", value=3),
    "field of another type": lambda a, m: _reached(m, "config", "model", "width", value="8"),
    "list in a field": lambda a, m: _reached(m, "config", "pose", "width", value=[[8]]),
    "unknown field": lambda a, m: _reached(m, "config", "model", "wings", value=2),
    "huge grid": lambda a, m: _reached(m, "config", "data", "resolution", value=2**30),
    "number of another type": lambda a, m: _reached(m, "dtype", value="O"),
    "number that is none": lambda a, m: _reached(m, "dtype", value=["f"]),
    "parameter of one plane": lambda a, m: a.update({_first(a): a[_first(a)][:1]}),
    "parameter of text": lambda a, m: a.update({_first(a): np.array(["a", "b"])}),
    "parameter within another": lambda a, m: a.update({f"{_first(a)}/x": a[_first(a)]}),
}


# For these the model is traced, which takes half a second each.
OF_OTHER_MODELS: dict[str, Change] = {
    "sizes that do not fit": lambda a, m: _reached(m, "config", "model", "grid", value=7),
    "negative size": lambda a, m: _reached(m, "config", "model", "width", value=-8),
    "huge model": lambda a, m: _reached(m, "config", "model", "width", value=2**40),
    "no pose method": lambda a, m: _reached(m, "config", "pose", "method", value="os.system"),
    "parameter of another shape": lambda a, m: a.update({_first(a): a[_first(a)][:, :1]}),
    "missing parameter": lambda a, m: _without(a, _first(a)),
}


def _refuse(content: bytes, path: Path, forgeries: dict[str, Change]) -> None:
    for kind, change in forgeries.items():
        path.write_bytes(_forged(content, change))
        with pytest.raises(CheckpointError, match=f"^{path}: ") as caught:
            print(kind, rotdis.load(path))
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000, kind


def test_a_file_made_to_harm_is_an_error_that_names_it(content, tmp_path, record_fault):
    path = tmp_path / "forged.rotdis"
    path.write_bytes(_forged(content, lambda a, m: None))
    assert archive.read(path).step == 7
    _refuse(content, path, FORGERIES)
    said = "CheckpointError that names it"
    record_fault("packaged model: forged, its checksum right", len(FORGERIES), said)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
def test_a_file_of_another_model_is_an_error_that_names_it(content, tmp_path, record_fault):
    path = tmp_path / "forged.rotdis"
    path.write_bytes(_forged(content, lambda a, m: None))
    assert rotdis.load(path).latent_size == 4
    _refuse(content, path, OF_OTHER_MODELS)
    said = "CheckpointError that names it"
    record_fault("packaged model: forged, of another model", len(OF_OTHER_MODELS), said)
