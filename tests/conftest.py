"""Fixtures shared by the tests: eight CPU devices, a browser, and real data where present."""

from collections.abc import Iterator
from pathlib import Path

import browser as browsers
import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture(scope="session")
def browser() -> Iterator[browsers.Browser]:
    """A headless browser with WebGL; skips where there is none."""
    with browsers.start() as started:
        yield started


@pytest.fixture(scope="session")
def modelnet10_dir() -> Path:
    """The folder with real ModelNet10 data beside the checkout; skips where it is absent."""
    folder = Path(__file__).resolve().parents[1] / ".." / "shared" / "modelnet10"
    if not (folder / "modelnet10_30.npz").exists():
        pytest.skip("real ModelNet10 data are not beside this checkout (../shared/modelnet10)")
    return folder.resolve()


# The files that take longest, first: two workers that take whole files then end together.
# The notebook needs programs that test_main has compiled by then.
_FIRST = (
    "test_main", "test_train", "test_step", "test_demo", "test_resample", "test_rotation_vae",
    "test_search", "test_synchronize", "test_export", "test_evaluate", "test_inference",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the tests by file; within one, and among the others, their order stays."""
    places = {stem: place for place, stem in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(_FIRST)))
