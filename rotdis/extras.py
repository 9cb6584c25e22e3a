"""Packages that only some modes, sources and tools need, and the extra that brings each."""

from rotdis.errors import RotdisError

_EXTRAS = {
    "igl": "mesh",
    "trimesh": "mesh",
    "importlib_resources": "tfdata",
    "tensorflow": "tfdata",
    "tensorflow_datasets": "tfdata",
    "websockets": "explore",
    "tabulate": "benchmark",
    "wandb": "wandb",
}


def missing(error: ImportError) -> Exception:
    """Returns what to raise of a failed import: where an extra brings the package, its name."""
    package = (error.name or "").split(".")[0]
    if package not in _EXTRAS:
        return error
    return RotdisError(
        f"this needs {package}, which is not installed: pip install -e '.[{_EXTRAS[package]}]'"
    )
