"""Laws of the order of objects: every epoch holds each object once, whatever the batch size."""

import jax
import numpy as np
import pytest

from rotdis.data.order import batch_indices


def _stream(seed, steps, num_objects, batch_size):
    return np.concatenate(
        [np.asarray(batch_indices(seed, step, num_objects, batch_size)) for step in range(steps)]
    )


@pytest.mark.parametrize("num_objects, batch_size", [(10, 4), (7, 7), (5, 12), (1, 3), (12, 1)])
def test_every_epoch_holds_every_object_once(num_objects, batch_size):
    epochs = 4
    stream = _stream(0, -(-epochs * num_objects // batch_size), num_objects, batch_size)
    for epoch in range(epochs):
        chunk = stream[epoch * num_objects : (epoch + 1) * num_objects]
        assert sorted(chunk) == list(range(num_objects))


def test_epochs_and_seeds_differ_in_order():
    stream = _stream(0, 2, 50, 50)
    assert not np.array_equal(stream[:50], stream[50:])
    assert not np.array_equal(stream[:50], _stream(1, 1, 50, 50))


def test_batches_of_the_same_stream_do_not_depend_on_their_size():
    assert np.array_equal(_stream(3, 6, 9, 4), _stream(3, 4, 9, 6))


def test_a_very_long_run_does_not_overflow():
    late = 2**31 - 5
    epoch, position = divmod(late * 24, 3991)
    assert position + 24 <= 3991
    order = jax.random.permutation(jax.random.fold_in(jax.random.key(0), epoch), 3991)
    assert np.array_equal(batch_indices(0, late, 3991, 24), order[position : position + 24])


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match="from 1"):
        batch_indices(0, 0, 0, 4)
