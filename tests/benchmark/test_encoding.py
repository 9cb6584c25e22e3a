"""The cost of encoding: each way to find a pose, as configured, beside the plain VAE."""

import types

import numpy as np
from tiny import tiny_config

from rotdis.benchmark import encoding, tables


def test_models_differ_in_how_they_find_a_pose_alone(monkeypatch):
    made = []

    class Recorded:
        def __init__(self, own, params):
            made.append(own)

        def encode(self, objects):
            return len(objects)

    def called(functions, seconds, min_rounds, untimed):
        return {name: float(function()) for name, function in functions.items()}

    state = types.SimpleNamespace(params={})
    monkeypatch.setattr(encoding.step, "init_state", lambda module, own: state)
    monkeypatch.setattr(encoding, "Model", Recorded)
    monkeypatch.setattr(encoding.timing, "interleave", called)
    config = tiny_config()
    assert np.allclose(list(encoding.run(config, 0).values()), 1)  # a second for each object
    found = [(own.pose.method, own.data.rotations) for own in made]
    assert found == [("none", "so3"), ("mixture", "so3"), ("search", "cube"), ("search", "so3")]
    for own in made:
        own.pose.method, own.data.rotations = config.pose.method, config.data.rotations
        assert own.to_dict() == config.to_dict()


def test_times_stand_beside_the_plain_vaes():
    lines = tables.of_encoding({"plain VAE": 0.002, "mixture": 0.003}).splitlines()
    assert lines[-1].split() == ["mixture", "3.00", "1.5x"]
