"""Weights & Biases as one more reader of the metrics: `rotdis.metric_writer` passes them on.

Only for a configuration with `train.wandb`; importing this module needs the package.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import wandb
from jaxtyping import UInt8

from rotdis import atomic
from rotdis.errors import RotdisError

_ID = "wandb_id"


class WandbLog:
    """A run of a training at Weights & Biases; the workdir keeps its id, so that it goes on.

    Steps that a resumed training does a second time have the same values as before; Weights &
    Biases ignores what goes back in time.
    """

    def __init__(self, project: str, workdir: str | Path, config: Mapping):
        """Opens the run, a new one or the workdir's.

        Args:
            project: where it appears.
            workdir: the training's folder, made where missing; gives the run its name.
            config: shown beside the curves.

        Raises:
            RotdisError: it cannot be opened, for want of a login for example.
        """
        workdir = Path(workdir)
        workdir.mkdir(parents=True, exist_ok=True)
        path = workdir / _ID
        if not path.exists():
            atomic.write(path, secrets.token_hex(4).encode())
        try:
            self._run = wandb.init(
                project=project,
                name=workdir.resolve().name,
                id=path.read_text().strip(),
                resume="allow",
                dir=str(workdir),
                config=dict(config),
            )
        except wandb.errors.Error as error:
            reason = " ".join(str(error).split())
            raise RotdisError(
                f"config.train.wandb: no run could be opened ({reason}); try `wandb login`, or "
                "WANDB_MODE=offline in the environment"
            ) from error

    def write_scalars(self, step: int, scalars: Mapping[str, float]) -> None:
        """Passes on the values that go with a step."""
        self._run.log(dict(scalars), step=step)

    def write_images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        """Passes on pictures, by name."""
        self._run.log({name: wandb.Image(np.asarray(x)) for name, x in images.items()}, step=step)

    def close(self) -> None:
        """Waits until all is sent, or written where offline."""
        self._run.finish()
