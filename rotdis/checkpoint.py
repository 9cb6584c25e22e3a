"""Checkpoints of a run, by Orbax: the only module that knows it.

A workdir holds `config.json` (the configuration, with a format number) and `checkpoints/STEP/`,
which appear whole or not at all, each with checksums and a copy of `config.json`, and of a run that
was stopped between two lines of its log with what the next line needs. The newest checkpoint is
always kept, and the best ones by a validation metric besides.
"""

import contextlib
import dataclasses
import gc
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree
from orbax.checkpoint import checkpoint_managers

from rotdis import intact, run_folder, storage_errors
from rotdis.errors import CheckpointError
from rotdis.step import TrainState

BEST_METRIC = "reconstruction/iou"

_DELETED = "deleted"
_UNLOGGED = "unlogged.json"
_STEP = jax.ShapeDtypeStruct((), jnp.int32)
_DATED = "_CHECKPOINT_METADATA"  # gets the time after the checksums


class Checkpoints:
    """The checkpoints of a workdir.

    Args:
        workdir: the run's folder; created where missing.
        keep_best: how many checkpoints to keep besides the newest, by `BEST_METRIC`.
        read_only: only restore, this process by itself; nothing is created or deleted. Otherwise
            all processes of a run do everything together, and each thing is written once.

    Raises:
        CheckpointError: the metrics of a checkpoint are damaged.
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
        self._workdir = Path(workdir).resolve()
        self._directory = self._workdir / "checkpoints"
        self._read_only, self._closed = read_only, False
        self._saving = -1  # the step that is being saved, or was last
        self._unlogged: list[dict[str, float]] = []  # what is saved with it
        for step in run_folder.checkpoints(self._workdir):  # their metrics are read at once
            self._check(step, lambda name: name.startswith("metrics/"))
        logging.getLogger("absl").addFilter(storage_errors.is_news)
        storage_errors.silence_stragglers()
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                # Without it metrics are not stored at all. What is kept is the policy's decision.
                best_fn=lambda metrics: metrics[BEST_METRIC],
                enable_async_checkpointing=True,
                # Runs before the folder gets its name, so the checksums appear together with it.
                async_options=ocp.options.AsyncOptions(post_finalization_callback=self._seal),
                # What a kill leaves: half a checkpoint that was being written, or deleted.
                cleanup_tmp_directories=not read_only,
                todelete_subdir=None if read_only else _DELETED,
                create=not read_only,
                read_only=read_only,
                multiprocessing_options=_by_itself() if read_only else _together(),
            ),
        )
        self._empty_trash()

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

    def save(
        self,
        state: TrainState,
        metrics: dict[str, float] | None = None,
        unlogged: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Saves the state in the background; a step that is already saved is left alone.

        Args:
            state: the state.
            metrics: of an evaluation, where there was one.
            unlogged: metrics of the last steps, which no line of the log holds yet.

        Raises:
            CheckpointError: this or the last checkpoint cannot be written.
        """
        step = int(state.step)
        self.wait()
        if step in self._manager.all_steps():
            return
        self._saving, self._unlogged = step, [dict(each) for each in unlogged]
        with self._failing_cleanly():
            self._manager.save(step, args=ocp.args.StandardSave(_fields(state)), metrics=metrics)

    def restore(self, template: TrainState, mesh: Mesh, step: int | None = None) -> TrainState:
        """Restores a checkpoint, the newest by default, onto every device of `mesh`.

        Args:
            template: a state of the same structure and shapes, on any device.
            mesh: where to put it; the number of devices may differ from the saving run's.
            step: which checkpoint.

        Raises:
            CheckpointError: there is none, it is damaged, or another version of rotdis wrote it.
        """
        fields = _abstract(_fields(template), mesh)
        return template.replace(**self._read(step, fields, ocp.args.StandardRestore(fields)))

    def restore_averaged(
        self, template: optax.Params, mesh: Mesh, step: int | None = None
    ) -> tuple[optax.Params, int]:
        """Restores a checkpoint's averaged parameters alone, and its step.

        What else it holds is of the training, which may have changed since. Arguments and errors
        as in `restore`.
        """
        fields = {"ema_params": _abstract(template, mesh), "step": _abstract(_STEP, mesh)}
        as_placed = ocp.checkpoint_utils.construct_restore_args(fields)
        some = ocp.args.PyTreeRestore(item=fields, restore_args=as_placed, partial_restore=True)
        restored = self._read(step, fields, some)
        return restored["ema_params"], int(restored["step"])

    def _read(
        self, step: int | None, fields: dict[str, PyTree], how: ocp.args.CheckpointArgs
    ) -> dict[str, PyTree]:
        step = self.latest_step() if step is None else step
        if step is None:
            raise CheckpointError(
                f"{self._manager.directory}: holds no checkpoint; train first "
                "(python -m rotdis.main --mode=train with the same --workdir)"
            )
        self._check(step)
        try:
            difference = self._difference(step, fields)
            restored = None if difference else self._manager.restore(step, args=how)
        except Exception as error:  # Orbax raises whatever its storage layers raise
            raise self._damaged(step, storage_errors.reason(error)) from error
        if difference:
            raise CheckpointError(
                f"{self._directory / str(step)}: another version of rotdis wrote it: {difference}; "
                "go on with that version, or begin in a new --workdir, from its parameters by "
                f"--config.train.start_from={self._workdir}"
            )
        if int(restored["step"]) != step:
            raise self._damaged(step, f"it holds step {int(restored['step'])}")
        return restored

    def _difference(self, step: int, fields: dict[str, PyTree]) -> str | None:
        """Returns which array of `fields` a checkpoint holds in another shape, or not at all."""
        folder = self._directory / str(step) / "default"
        saved = _shapes(ocp.StandardCheckpointHandler().metadata(folder))
        for name, shape in _shapes(fields).items():
            if saved.get(name) != shape:
                found = f"is {saved[name]}" if name in saved else "is missing"
                return f"{name} {found}, and would be {shape} now"
        return None

    def unlogged(self, step: int) -> list[dict[str, float]]:
        """Returns what `save` was given as such with a step that has been restored."""
        path = self._directory / str(step) / _UNLOGGED
        return json.loads(path.read_text()) if path.exists() else []

    def wait(self) -> None:
        """Returns when all saves are on disk.

        Raises:
            CheckpointError: one cannot be written.
        """
        with self._failing_cleanly():
            self._manager.wait_until_finished()
        self._empty_trash()

    def close(self) -> None:
        """Waits for saves and releases the folder; a second time it does nothing.

        Raises:
            CheckpointError: the last checkpoint cannot be written.
        """
        if not self._closed:
            self._closed = True
            self.wait()
            self._manager.close()

    def _seal(self) -> None:
        (folder,) = self._directory.glob(f"{self._saving}.orbax-checkpoint-tmp*")
        copy = self._workdir / run_folder.CONFIG
        if copy.exists():
            shutil.copyfile(copy, folder / run_folder.CONFIG)
        if self._unlogged:
            (folder / _UNLOGGED).write_text(json.dumps(self._unlogged))
        intact.seal(folder, besides=[_DATED])

    def _empty_trash(self) -> None:
        # Deleted checkpoints were renamed first: half of one never passes for a whole.
        if not self._read_only and jax.process_index() == 0:
            shutil.rmtree(self._directory / _DELETED, ignore_errors=True)

    def _check(self, step: int, wanted: Callable[[str], bool] = lambda name: True) -> None:
        damage = intact.find_damage(self._directory / str(step), wanted)
        if damage:
            raise self._damaged(step, damage)

    def _damaged(self, step: int, damage: str) -> CheckpointError:
        present = run_folder.checkpoints(self._workdir)
        if step not in present:  # a run that goes on replaces its checkpoints
            return CheckpointError(
                f"{self._directory / str(step)}: is not there, or was replaced by a newer one "
                "while it was read; start the command again"
            )
        others = [other for other in present if other != step]
        whole = [each for each in others if not intact.find_damage(self._directory / str(each))]
        advice = (
            f"delete that folder to go on from step {max(whole)}, the newest that is intact"
            if whole
            else "no other checkpoint is intact: delete that folder to begin anew"
        )
        return CheckpointError(f"{self._directory / str(step)}: is damaged ({damage}); {advice}")

    @contextlib.contextmanager
    def _failing_cleanly(self) -> Iterator[None]:
        """Makes one message of what goes wrong in a save, and leaves nothing of it behind."""
        try:
            yield
            return
        except Exception as error:  # Orbax raises whatever its storage layers raise
            reason = storage_errors.reason(error)
        # Outside of the handler: with that error go the unfinished writes that it holds, which at
        # the end of the process would complain one by one.
        self._closed = True
        gc.collect()
        for half in self._directory.glob(f"{self._saving}.orbax-checkpoint-tmp*"):
            shutil.rmtree(half, ignore_errors=True)
        kept = max(run_folder.checkpoints(self._workdir), default=None)
        before = "there is none before it" if kept is None else f"that of step {kept} is kept"
        raise CheckpointError(
            f"{self._directory}: the checkpoint of step {self._saving} cannot be written "
            f"({reason}); {before}. Mend that, and the same command goes on from there"
        )


def _abstract(tree: PyTree, mesh: Mesh) -> PyTree:
    """Returns shapes and types in place of arrays, to be on every device of `mesh`."""
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every array, by its path; of tuples and records as Orbax keeps them."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves
    }


def _fields(state: TrainState) -> dict[str, object]:
    """Returns those that the state has: Orbax keeps an account of those that are None as well.

    A checkpoint from before there was such a field would not be restored then.
    """
    every = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    return {name: value for name, value in every.items() if value is not None}


def _together() -> ocp.options.MultiprocessingOptions:
    return ocp.options.MultiprocessingOptions()


def _by_itself() -> ocp.options.MultiprocessingOptions:
    me = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me})
