"""rotdis learns what a 3-D object is apart from how it is turned."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rotdis.data.normalize import normalize
    from rotdis.errors import RotdisError
    from rotdis.inference import Model, load

__version__ = "0.1.0"
__all__ = ["Model", "RotdisError", "load", "normalize"]

_HOME = {
    "Model": "rotdis.inference",
    "RotdisError": "rotdis.errors",
    "load": "rotdis.inference",
    "normalize": "rotdis.data.normalize",
}


def __getattr__(name: str):
    """Imports a public name when it is first used, so that `import rotdis` is quick (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'rotdis' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
