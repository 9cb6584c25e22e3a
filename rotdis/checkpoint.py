"""Checkpoints of a run, by Orbax: the only module that knows it.

A workdir holds `config.json` (the configuration, with a format number) and `checkpoints/STEP/`.
The newest checkpoint is always kept, and the best ones by a validation metric besides.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import ml_collections
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from orbax.checkpoint import checkpoint_managers

from rotdis import compatibility
from rotdis.config import base_config
from rotdis.errors import CheckpointError
from rotdis.step import TrainState

FORMAT = 1  # of the folder; raised by a change that older code cannot read
_TOGETHER = ocp.options.MultiprocessingOptions()
BEST_METRIC = "reconstruction/iou"

# What determines the shapes and the meaning of the parameters.
_MODEL = {"data.resolution"} | {
    f"{section}.{key}"
    for section in ("model", "pose")
    for key in base_config()[section]
    if key != "refine_steps"
}
# What determines a training run besides: with another value it would be another run. (Where the
# data are kept, what is logged, and how long it runs may change under way.)
_RUN = (
    _MODEL
    | {"seed", "train.batch_size", "train.ema_decay"}
    | {
        f"{section}.{key}"
        for section in ("data", "loss", "optimizer", "search")
        for key in base_config()[section]
        if key not in ("dir", "workers", "loader", "num_test", "aligned")
    }
)


class Checkpoints:
    """The checkpoints of a workdir.

    Args:
        workdir: the run's folder; created where missing.
        keep_best: how many checkpoints to keep besides the newest, by `BEST_METRIC`.
        read_only: only restore, this process by itself; nothing is created or deleted. Otherwise
            all processes of a run do everything together, and each thing is written once.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, workdir: str | Path, keep_best: int = 1, *, read_only: bool = False):
        policies = [checkpoint_managers.LatestN(1)]
        if keep_best:
            policies.append(
                checkpoint_managers.BestN(
                    get_metric_fn=lambda metrics: metrics[BEST_METRIC],
                    n=keep_best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        with _errors_only():
            self._manager = ocp.CheckpointManager(
                Path(workdir).resolve() / "checkpoints",
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                    # Without it metrics are not stored at all. What is kept is the policy's
                    # decision.
                    best_fn=lambda metrics: metrics[BEST_METRIC],
                    enable_async_checkpointing=True,
                    create=not read_only,
                    read_only=read_only,
                    multiprocessing_options=_by_itself() if read_only else _TOGETHER,
                ),
            )

    def latest_step(self) -> int | None:
        """Returns the step of the newest complete checkpoint, None where there is none."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """Returns the step of the best evaluated checkpoint, or of the newest where none is."""
        best = None
        for step in self._manager.all_steps():
            value = (self._manager.metrics(step) or {}).get(BEST_METRIC)
            if value is not None and (best is None or value >= best[0]):
                best = (value, step)
        return best[1] if best else self.latest_step()

    def save(self, state: TrainState, metrics: dict[str, float] | None = None) -> None:
        """Saves the state in the background; a step that is already saved is left alone."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        self._manager.save(step, args=ocp.args.StandardSave(state), metrics=metrics)

    def restore(self, template: TrainState, mesh: Mesh, step: int | None = None) -> TrainState:
        """Restores a checkpoint, the newest by default, onto every device of `mesh`.

        Args:
            template: a state of the same structure and shapes, on any device.
            mesh: where to put it; the number of devices may differ from the saving run's.
            step: which checkpoint.

        Raises:
            CheckpointError: there is none, or it cannot be read.
        """
        step = self.latest_step() if step is None else step
        if step is None:
            raise CheckpointError(
                f"{self._manager.directory}: holds no checkpoint; train first "
                "(python -m rotdis.main --mode=train with the same --workdir)"
            )
        sharding = NamedSharding(mesh, PartitionSpec())
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), template
        )
        try:
            return self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        except Exception as error:  # Orbax raises whatever its storage layers raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise CheckpointError(
                f"{self._manager.directory}/{step}: cannot be read ({reason[0][:200]}); "
                "delete that folder to go on from an older checkpoint"
            ) from error

    def wait(self) -> None:
        """Returns when all saves are on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for saves and releases the folder."""
        self._manager.close()


def _by_itself() -> ocp.options.MultiprocessingOptions:
    return ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}
    )


@contextlib.contextmanager
def _errors_only() -> Iterator[None]:
    """Keeps Orbax from warning of what was asked for, that a folder be only read."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def holds_checkpoint(workdir: str | Path) -> bool:
    """Returns whether a folder holds a run with at least one complete checkpoint."""
    folder = Path(workdir) / "checkpoints"
    return folder.is_dir() and any(path.name.isdigit() for path in folder.iterdir())


def holds_config(workdir: str | Path) -> bool:
    """Returns whether a folder holds a run's configuration."""
    return (Path(workdir) / "config.json").exists()


def save_config(workdir: str | Path, config: ml_collections.ConfigDict) -> None:
    """Writes the configuration beside the checkpoints, atomically."""
    path = Path(workdir) / "config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, "config": config.to_dict()}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    os.replace(temporary, path)


def load_config(workdir: str | Path) -> ml_collections.ConfigDict:
    """Reads the configuration of a run.

    Raises:
        CheckpointError: the folder holds no run, or one of a newer version of rotdis.
    """
    path = Path(workdir) / "config.json"
    if not path.exists():
        raise CheckpointError(f"{workdir}: holds no training run (there is no config.json in it)")
    try:
        content = json.loads(path.read_text())
        found, config = content["format"], content["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: is not a configuration that rotdis wrote") from error
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: has format {found}, this version of rotdis reads format {FORMAT}; "
            "use the version that trained it"
        )
    return ml_collections.ConfigDict(
        jax.tree.map(
            lambda x: tuple(x) if isinstance(x, list) else x,
            config,
            is_leaf=lambda x: isinstance(x, list),
        )
    )


def check_same_run(workdir: str | Path, config: ml_collections.ConfigDict) -> None:
    """Makes sure that a workdir's run is one of this configuration.

    Raises:
        CheckpointError: it holds another; the message names the keys that differ.
    """
    _compare(workdir, config, _RUN)


def check_same_model(workdir: str | Path, config: ml_collections.ConfigDict) -> None:
    """Makes sure that a workdir's model is the one that the configuration describes.

    Raises:
        CheckpointError: it is another; the message names the keys that differ.
    """
    _compare(workdir, config, _MODEL)


def _compare(workdir: str | Path, config: ml_collections.ConfigDict, fields: set[str]) -> None:
    saved, wanted = compatibility.complete(load_config(workdir).to_dict(), workdir), config
    differing = [
        f"{key} ({_lookup(saved, key)!r} there, {_lookup(wanted, key)!r} here)"
        for key in sorted(fields)
        if _lookup(saved, key) != _lookup(wanted, key)
    ]
    if differing:
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise CheckpointError(
            f"{workdir}: holds another model's run, which differs in {', '.join(differing[:5])}"
            f"{more}; choose another --workdir, or delete this one"
        )


def _lookup(config: ml_collections.ConfigDict, key: str) -> object:
    for part in key.split("."):
        config = config.get(part, "absent")
        if config == "absent":
            break
    return config
