"""Laws of a model's file: what goes in comes out, and nothing that is damaged does."""

import numpy as np
import pytest

from rotdis.errors import CheckpointError
from rotdis.packaged import archive

PARAMS = {
    "encoder": {"Dense_0": {"kernel": np.linspace(-3, 3, 35, dtype=np.float32).reshape(5, 7)}},
    "scale": np.array([1.0, 0.0, -1e-3, 1e-6, 3e4], np.float32),
}
CONFIG = {"seed": 0, "model": {"width": 8, "classes": ["a", "b"]}}
GOLDEN = {"z_mean": np.arange(6, dtype=np.float32).reshape(2, 3)}


def _content(dtype="float16", params=PARAMS):
    return archive.pack(archive.Archive(CONFIG, params, GOLDEN, dtype, 7))


@pytest.mark.parametrize("dtype, digits", [("float16", 11), ("bfloat16", 8)])
def test_what_is_packed_is_read_back_to_the_precision_that_was_chosen(tmp_path, dtype, digits):
    path = tmp_path / "a.rotdis"
    path.write_bytes(_content(dtype))
    found = archive.read(path)
    assert (found.config, found.dtype, found.step) == (CONFIG, dtype, 7)
    kernel, expected = (tree["encoder"]["Dense_0"]["kernel"] for tree in (found.params, PARAMS))
    assert kernel.dtype == np.float32
    assert np.allclose(kernel, expected, rtol=2.0**-digits, atol=0)
    assert np.allclose(found.params["scale"], PARAMS["scale"], rtol=0.01, atol=1e-7)
    rounded = archive.rounded(PARAMS, dtype)
    assert np.array_equal(rounded["scale"], found.params["scale"])
    assert np.array_equal(found.golden["z_mean"], GOLDEN["z_mean"])


def test_the_same_model_is_the_same_file():
    assert _content() == _content()


def test_whichever_bit_is_flipped_it_is_noticed_and_the_file_named(tmp_path):
    path = tmp_path / "flipped.rotdis"
    content = _content()
    places = np.random.default_rng(0).choice(8 * len(content), 200, replace=False)
    for place in [*range(8 * 30), *places]:  # the whole of the first line's start, and elsewhere
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="flipped.rotdis"):
            archive.read(path)


@pytest.mark.parametrize("share", [0, 0.001, 0.02, 0.5, 0.999])
def test_a_file_cut_short_is_named(tmp_path, share):
    content = _content()
    path = tmp_path / "cut.rotdis"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="cut.rotdis"):
        archive.read(path)


def test_another_format_is_named(tmp_path):
    path = tmp_path / "later.rotdis"
    path.write_bytes(_content().replace(b"rotdis-model 1 ", b"rotdis-model 2 ", 1))
    with pytest.raises(CheckpointError, match="has format 2"):
        archive.read(path)


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e6])
def test_parameters_that_the_precision_cannot_hold_are_named(value):
    with pytest.raises(CheckpointError, match="encoder/bias"):
        _content(params={"encoder": {"bias": np.array([value], np.float32)}})


def test_parameters_of_another_model_are_named():
    found = {"a": {"kernel": np.zeros((2, 3)), "old": np.zeros(1)}}
    expected = {"a": {"kernel": np.zeros((2, 4)), "new": np.zeros(5)}}
    with pytest.raises(CheckpointError) as caught:
        archive.check_same_tree("here.rotdis", found, expected)
    for words in (
        "here.rotdis",
        "a/kernel ((2, 3) there, (2, 4) here)",
        "a/new (absent there, (5,) here)",
        "a/old ((1,) there, absent here)",
    ):
        assert words in str(caught.value)
    archive.check_same_tree("here.rotdis", found, found)
