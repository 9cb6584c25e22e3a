"""The parts of the step that are timed are those of the step as it is trained."""

import jax
import numpy as np
import pytest
from tiny import tiny_config

from rotdis import step
from rotdis.benchmark import training
from rotdis.models import rotation_vae


def _parts(config):
    model = rotation_vae.create(config)
    state = training._with_frames(step.init_state(model, config))
    return training._parts(config, model, state, training._packed(config))


def _metrics(parts) -> set[str]:
    function, *arguments = parts["forward"]
    return set(jax.eval_shape(function, *arguments)[1])


@pytest.mark.slow
def test_once_frames_are_known_their_terms_and_the_stretching_are_timed():
    config = tiny_config()
    config.loss.alike_weight, config.frames.stretch = 1.0, 0.2
    config.frames.synchronize_at = (0.5,)
    parts = _parts(config)
    assert {"frame", "alike"} <= _metrics(parts)
    frames = parts["forward"][4]
    assert np.asarray(frames).any((1, 2)).all()
    config.frames.synchronize_at = ()
    assert not {"frame", "alike"} & _metrics(_parts(config))


@pytest.mark.slow  # a quarter of a minute, of tracing
def test_a_batch_may_be_larger_than_the_objects_there_are_else(monkeypatch):
    monkeypatch.setattr(training, "_OBJECTS", 4)
    config = tiny_config()
    config.train.batch_size = 8
    config.frames.synchronize_at = (0.5,)
    assert len(training._packed(config)) == 8
    for function, *arguments in _parts(config).values():
        jax.eval_shape(function, *arguments)


@pytest.mark.parametrize("method", ["search", "none"])
def test_a_model_without_a_pose_network_is_timed_without_that(method):
    config = tiny_config()
    config.pose.method, config.data.rotations = method, "cube"
    parts = _parts(config)
    assert "pose" not in parts
    for function, *arguments in parts.values():
        jax.eval_shape(function, *arguments)
