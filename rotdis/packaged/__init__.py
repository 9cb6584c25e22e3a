"""Trained models as single files, and those that come with rotdis: NAME.rotdis beside this file.

NAME.md is the card of a model that comes with rotdis: what it was trained on, how well it does,
and where it fails.
"""

from pathlib import Path

SUFFIX = ".rotdis"
_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Returns the names of the models that come with rotdis."""
    return tuple(sorted(path.stem for path in _FOLDER.glob(f"*{SUFFIX}")))


def find(name: object) -> Path | None:
    """Returns the file of the model of this name that comes with rotdis, None where none does."""
    return _FOLDER / f"{name}{SUFFIX}" if name in names() else None
