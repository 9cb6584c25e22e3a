"""Fixtures shared by the tests: eight CPU devices, and the real data where they are present."""

from pathlib import Path

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(scope="session")
def modelnet10_dir() -> Path:
    """The folder with real ModelNet10 data beside the checkout; skips where it is absent."""
    folder = Path(__file__).resolve().parents[1] / ".." / "shared" / "modelnet10"
    if not (folder / "modelnet10_30.npz").exists():
        pytest.skip("real ModelNet10 data are not beside this checkout (../shared/modelnet10)")
    return folder.resolve()
