"""Validation scores the averaged parameters at hand; and where there is nothing to validate on."""

import dataclasses

import jax
import numpy as np
from tiny import tiny_config

from rotdis import metric_writer, step
from rotdis.data import prepare
from rotdis.models import rotation_vae
from rotdis.validation import Validator


def test_objects_that_all_occur_in_training_give_no_scores(tmp_path):
    config = tiny_config()
    config.data.dir = str(tmp_path / "data")
    data = prepare.prepare(config.data)
    data = dataclasses.replace(data, validation=data.train.select(np.arange(2)))
    writer = metric_writer.MetricWriter(tmp_path)
    state = step.init_state(rotation_vae.create(config), config)
    assert Validator(config, data, writer)(0, state) is None
    writer.close()


def test_scores_are_those_of_the_averaged_parameters_of_the_state_at_hand(tmp_path):
    config = tiny_config()
    config.data.dir = str(tmp_path / "data")
    data = prepare.prepare(config.data)
    writer = metric_writer.MetricWriter(tmp_path)
    one = step.init_state(rotation_vae.create(config), config)
    other = one.replace(ema_params=jax.tree.map(lambda leaf: 2.0 * leaf, one.ema_params))
    validator = Validator(config, data, writer)
    first, second, third = (validator(n, state) for n, state in enumerate((one, other, one)))
    writer.close()
    assert first == third
    assert abs(first["reconstruction/sse"] - second["reconstruction/sse"]) > 1
