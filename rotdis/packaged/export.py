"""A run's best checkpoint as one small file that `rotdis.load` reads: `--mode=export`."""

import json
from pathlib import Path

import jax
import ml_collections
import optax

from rotdis import atomic, inference, packaged, run_folder
from rotdis.config import base_config
from rotdis.errors import CheckpointError, UsageError
from rotdis.metric_writer import read_scalars
from rotdis.packaged import archive, card, golden
from rotdis.report import siblings

LIMIT = 10_000_000  # bytes of a file that may come with rotdis


def export(workdir: str | Path, output: str | Path) -> Path:
    """Writes a model's file, and its card beside it unless there is one already.

    The averaged parameters of the best checkpoint are stored in float16, or in bfloat16 where only
    that stays below the limit, with the whole configuration and the golden outputs.

    Args:
        workdir: a training run's folder.
        output: the file, NAME.rotdis.

    Returns:
        `output`.

    Raises:
        CheckpointError: there is no such run, it has no checkpoint, its parameters are not finite,
            its metrics are damaged, or the file would be over 10 MB.
        UsageError: the file has another suffix, or is a folder.
        RotdisError: its folder cannot be written.
    """
    output = Path(output)
    if output.suffix != packaged.SUFFIX:
        raise UsageError(f"--output={output}: name it NAME{packaged.SUFFIX}")
    if output.is_dir():
        raise UsageError(f"--output={output}: is a folder; name a file")
    atomic.make_folder(output.parent)
    config, params, step = inference.restore(workdir)
    metrics = _metrics(Path(workdir), config)
    dtype, content = _smallest(config, params, step)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    description = f"{count:,} parameters in {dtype}, {len(content) / 1e6:.2f} MB."
    atomic.write(output, content)
    print(f"exported: {output}: {description} Step {step}, averaged parameters.")
    path = output.with_suffix(".md")
    if path.exists():
        print(f"card: {path} is left as it is")
    else:
        text = card.draft(
            output.stem,
            shareable(config),
            step,
            read_scalars(workdir),
            metrics,
            description,
        )
        atomic.write(path, text.encode())
        print(f"card: {path}: complete it where it says {card.FILL_IN!r}")
    return output


def _metrics(workdir: Path, config: ml_collections.ConfigDict) -> dict[str, float]:
    """Returns what a run's evaluation wrote, nothing where it was none, or on other data."""
    path = workdir / "metrics.json"
    if not path.exists():
        return {}
    own = siblings.flatten(config.to_dict())
    there = own | siblings.flatten(run_folder.evaluated_on(workdir))
    if (siblings.data_of(own), own["data.rotations"]) != (
        siblings.data_of(there),
        there["data.rotations"],
    ):
        print(
            f"card: without metrics, since {path} is of other data than the run's own; write it "
            "anew by --mode=evaluate"
        )
        return {}
    try:
        return {name: float(value) for name, value in json.loads(path.read_text()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: is damaged ({error}); write it anew by --mode=evaluate"
        ) from error


def shareable(config: ml_collections.ConfigDict) -> dict:
    """Returns a configuration without the paths of the machine that it was used on."""
    values = config.to_dict()
    values["data"]["source"] = Path(values["data"]["source"]).name
    values["data"]["dir"] = base_config().data.dir
    values["train"]["start_from"] = Path(values["train"]["start_from"]).name
    return values


def _smallest(
    config: ml_collections.ConfigDict, params: optax.Params, step: int
) -> tuple[str, bytes]:
    """Returns the first precision at which the file is below the limit, and its content."""
    for dtype in archive.DTYPES:
        half = archive.rounded(params, dtype)
        answers = golden.make(inference.Model(config, half))
        content = archive.pack(archive.Archive(shareable(config), half, answers, dtype, step))
        if len(content) <= LIMIT:
            return dtype, content
    raise CheckpointError(
        f"the file would have {len(content) / 1e6:.1f} MB even in {dtype}, and {LIMIT / 1e6:g} MB "
        "is the limit; train a smaller model (config.model.width, config.pose.width)"
    )
