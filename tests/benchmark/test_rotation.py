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
    for factor in (1.001, float("nan")):
        functions["careless"] = lambda factor=factor: [array * factor for array in turned()]
        with pytest.raises(rotation.Disagreement, match="careless differs"):
            rotation.check_agreement(functions)


def test_a_disagreement_ends_the_benchmark_with_shape_and_pass(monkeypatch):
    def bent(volume, rotation):
        return volume * 1.01

    monkeypatch.setattr(rotation, "SHAPES", ((2, 4, 1),))
    monkeypatch.setattr(rotation, "_map_coordinates", bent)
    with pytest.raises(rotation.Disagreement, match=r"^forward of .* 2, 4, 1: map_coordinates"):
        rotation.run(0.0)
