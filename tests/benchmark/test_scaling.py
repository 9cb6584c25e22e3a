"""The arithmetic of scaling, against what can be worked out by hand."""

import pytest
from tiny import tiny_config

from rotdis.benchmark import scaling
from rotdis.benchmark.scaling import Device, Step

DEVICE = Device("d", flops=1e12, memory=1e6, near=4, near_bytes=1e9, far_bytes=1e8, host_bytes=1e9)


def test_a_ring_sends_the_gradients_almost_twice_and_a_device_alone_nothing():
    assert scaling.reduced_bytes(10, 1) == 0
    assert scaling.reduced_bytes(10, 2) == 40
    assert scaling.reduced_bytes(10, 512) == pytest.approx(80, rel=0.01)


def test_far_links_carry_each_a_share_of_the_gradients():
    near = scaling.reduce_seconds(1000, 4, DEVICE)
    assert near == pytest.approx(2 * 3 / 4 * 4000 / 1e9)
    # Two groups of four: half of the ring of two, a quarter of the gradients on each link.
    assert scaling.reduce_seconds(1000, 8, DEVICE) == pytest.approx(near + 1000 / 1e8)


def test_at_the_batch_named_nine_tenths_of_the_time_is_arithmetic():
    steps = {16: Step(parameters=10**6, flops=1e9, object_bytes=1000)}
    line = scaling.rows(steps, DEVICE, per_device=1, achieved=0.5)[1]
    assert line["devices"] == 8
    batch = line["per device for 90 %"]
    for per_device, at_least in ((batch, True), (batch - 1, False)):
        lines = scaling.rows(steps, DEVICE, per_device, achieved=0.5)
        compute, reducing = float(lines[1]["compute ms"]), float(lines[1]["all-reduce ms"])
        assert (compute / (compute + reducing) >= 0.9) == at_least
    assert line["fit in half"] == "500"


def test_parameters_and_operations_are_those_of_the_step():
    config = tiny_config()
    config.data.resolution, config.pose.method = 16, "none"
    one, two = (scaling.count(config) for config.model.latent_size in (4, 5))
    # Mean, log-variance and the decoder's first layer have a row or a column more.
    hidden = 4 * config.model.width
    assert two.parameters - one.parameters == 2 * (hidden + 1) + hidden
    # Forward and backward of two views: two operations, thrice, for each of these weights.
    products = 2 * 6 * 3 * hidden
    assert products <= two.flops - one.flops < 1.5 * products
    assert one.object_bytes == 16**3 // 8
