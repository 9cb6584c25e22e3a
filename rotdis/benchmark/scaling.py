"""How a training step scales over devices, on paper: what it computes against what it all-reduces.

python -m rotdis.benchmark.scaling [--config=configs/X.py] [--per_device=16] [--achieved=0.1]

Parameters and operations are counted from the configuration's own step. What a device does in a
second is its maker's figure times an assumed share, so times are estimates; measure one device by
`python -m rotdis.benchmark --only=training`, and give the share that it reports.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from absl import flags
from ml_collections import config_flags

from rotdis import objective, step
from rotdis.benchmark import command, flops
from rotdis.config_rules import validate
from rotdis.errors import ConfigError
from rotdis.models import rotation_vae

DEVICES = (1, 8, 64, 512)
RESOLUTIONS = (32, 128)
_COUNTED = 2  # objects of the step that is counted

FLAGS = flags.FLAGS


class Device(NamedTuple):
    """An accelerator's figures, as its maker states them.

    Attributes:
        name: of it.
        flops: dense bfloat16 operations per second.
        memory: bytes; half of it may hold the training split ("fit in half").
        near: how many devices are linked closely.
        near_bytes: per second and direction that a device sends to those.
        far_bytes: likewise to the others.
        host_bytes: per second that a device receives from its host.
    """

    name: str
    flops: float
    memory: float
    near: int
    near_bytes: float
    far_bytes: float
    host_bytes: float


KNOWN = (
    # H100 SXM: 4th-generation NVLink in a node of 8, one 400 Gbit/s InfiniBand port a GPU, PCIe 5.
    Device("H100", 989e12, 80e9, 8, 450e9, 50e9, 50e9),
    # TPU v5e: 1,600 Gbit/s of links a chip, both directions together, in slices of up to 256;
    # 100 Gbit/s a host of 8 chips beyond, and PCIe 3.
    Device("TPU v5e", 197e12, 16e9, 256, 100e9, 1.6e9, 8e9),
)


class Step(NamedTuple):
    """What a training step of a configuration is.

    Attributes:
        parameters: trained numbers; float32, and so are their gradients.
        flops: operations for an object, its two views together, forward and backward.
        object_bytes: of an object as it is kept and fed, packed.
    """

    parameters: int
    flops: float
    object_bytes: int


def count(config: ml_collections.ConfigDict) -> Step:
    """Counts a configuration's step, without compiling or running it.

    Raises:
        ConfigError: it searches poses, in loops of which only one turn would be counted.
    """
    if config.pose.method == "search":
        raise ConfigError("config.pose.method: the operations of 'search' cannot be counted")
    model = rotation_vae.create(config)
    params = jax.eval_shape(lambda: step.init_state(model, config)).params
    size = config.data.resolution
    x = jax.ShapeDtypeStruct((_COUNTED, size, size, size), jnp.float32)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), _COUNTED))

    def gradient(params, x, keys):
        loss = jax.grad(objective.loss_and_metrics, has_aux=True)
        return loss(params, model, config, x, keys)

    return Step(
        parameters=sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)),
        flops=flops.count(gradient, params, x, keys) / _COUNTED,
        object_bytes=size**3 if config.data.partial else size**3 // 8,
    )


def reduced_bytes(parameters: int, devices: int) -> float:
    """Returns what every device sends, and receives, to sum float32 gradients around a ring."""
    return 2 * (devices - 1) / devices * 4 * parameters


def reduce_seconds(parameters: int, devices: int, device: Device) -> float:
    """Returns how long that takes: within the near group, and between groups over the far links.

    Each device passes a share of the gradients on to the other groups, so all far links work.
    """
    near = min(devices, device.near)
    seconds = reduced_bytes(parameters, near) / device.near_bytes
    return seconds + reduced_bytes(parameters, devices // near) / near / device.far_bytes


def rows(
    steps: Mapping[int, Step], device: Device, per_device: int, achieved: float
) -> list[dict[str, object]]:
    """Returns a line for every resolution and number of devices, by its columns' headings.

    All-reduce and compute are added up; where the compiler overlaps them, it is faster.

    Args:
        steps: resolution -> what is trained.
        device: on which.
        per_device: objects of a step on each.
        achieved: the share of the device's operations that the step's arithmetic gets.
    """
    lines = []
    for resolution, counted in steps.items():
        compute = counted.flops / (device.flops * achieved)
        feeding = counted.object_bytes / device.host_bytes
        for devices in DEVICES:
            reducing = reduce_seconds(counted.parameters, devices, device)
            lines.append(
                {
                    "device": device.name,
                    "D": resolution,
                    "devices": devices,
                    "batch": devices * per_device,
                    "compute ms": f"{1e3 * compute * per_device:.2f}",
                    "MB sent": f"{reduced_bytes(counted.parameters, devices) / 1e6:.1f}",
                    "all-reduce ms": f"{1e3 * reducing:.2f}",
                    "efficiency": f"{compute / (compute + reducing / per_device):.0%}",
                    "per device for 90 %": max(1, int(np.ceil(9 * reducing / compute))),
                    "feeding ms": f"{1e3 * feeding * per_device:.2f}",
                    "fit in half": f"{device.memory / 2 // counted.object_bytes:,.0f}",
                }
            )
    return lines


def main() -> None:
    """Prints the tables.

    Raises:
        ConfigError: the configuration is wrong, also at one of `RESOLUTIONS`, or searches poses.
    """
    from tabulate import tabulate  # of the extra `benchmark`

    from rotdis.config import base_config

    config = FLAGS.config or base_config()
    steps = {}
    for resolution in RESOLUTIONS:
        config.data.resolution = resolution
        validate(config)
        counted = steps[resolution] = count(config)
        print(
            f"D = {resolution}: {counted.parameters:,} parameters, "
            f"{4 * counted.parameters / 1e6:.1f} MB of gradients, "
            f"{counted.flops / 1e9:.2f} GFLOP and {counted.object_bytes:,} bytes an object"
        )
    for device in KNOWN:
        table = rows(steps, device, FLAGS.per_device, FLAGS.achieved)
        print("\n" + tabulate(table, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    config_flags.DEFINE_config_file(
        "config", None, "What is trained [the defaults of rotdis/config.py]."
    )
    flags.DEFINE_integer("per_device", 16, "Objects of a step on each device.", 1)
    flags.DEFINE_float(
        "achieved", 0.1, "The share of a device's operations that the step gets.", 1e-6, 1.0
    )
    command.run("rotdis.benchmark.scaling", main)
