"""The compared paths compute the same, or the comparison says which one does not."""

import pytest

from rotdis.benchmark import rotation


@pytest.mark.parametrize("what", rotation.PASSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_all_paths_agree(what, channels):
    functions = rotation.paths(rotation.make_example(2, 6, channels), what)
    assert {"rotdis", "map_coordinates"} <= functions.keys()
    assert ("scatter" in functions) == ("gather" in functions) == (what == "forward+backward")
    rotation.check_agreement(functions)


def test_a_path_that_differs_is_named():
    functions = rotation.paths(rotation.make_example(2, 6, 1), "forward")
    turned = functions["rotdis"]
    functions["careless"] = lambda: [array * 1.001 for array in turned()]
    with pytest.raises(AssertionError, match="careless differs"):
        rotation.check_agreement(functions)
