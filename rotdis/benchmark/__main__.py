"""The command line of the benchmark: measures, prints tables, and writes the same as JSON.

python -m rotdis.benchmark [--config=configs/X.py] [--only=rotation,training] [--json=FILE]
"""

import json
from pathlib import Path

import ml_collections
from absl import flags, logging
from ml_collections import config_flags

from rotdis import atomic
from rotdis.benchmark import command
from rotdis.errors import UsageError

PARTS = ("rotation", "training", "loading", "inference", "encoding")
_SLOW = ("encoding",)  # only where asked for: it searches poses

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "The configuration whose step is timed [the defaults of rotdis/config.py]."
)
flags.DEFINE_list(
    "only",
    [part for part in PARTS if part not in _SLOW],
    f"What to measure, of {', '.join(PARTS)}.",
)
flags.DEFINE_float(
    "seconds", 3.0, "At least so long for every comparison, if not 200 rounds.", lower_bound=0.0
)
flags.DEFINE_string("json", "runs/benchmark.json", "Where to write the results.")
flags.register_validator(
    "only", lambda parts: set(parts) <= set(PARTS), f"choose among {', '.join(PARTS)}"
)


def main() -> None:
    """Runs the chosen parts.

    Raises:
        RotdisError: the configuration is wrong, or a part cannot be measured.
        OSError: the results cannot be written.
    """
    logging.set_verbosity(logging.ERROR)
    import tabulate  # noqa: F401  (of the extra `benchmark`: a lack of it shows before the work)

    # After the flags, so that --help is quick.
    from rotdis.benchmark import encoding, inference, loading, machine, rotation, tables, training
    from rotdis.config import base_config
    from rotdis.config_rules import validate

    config: ml_collections.ConfigDict = FLAGS.config or base_config()
    validate(config)
    path = Path(FLAGS.json)
    if path.is_dir():
        raise UsageError(f"--json={path}: is a folder; name a file")
    here = machine.measure(FLAGS.seconds)
    print(tables.of_machine(here))
    results = {"machine": here._asdict()}

    def note(part: str, measured: object) -> None:
        """What is measured is kept, whatever becomes of the next part."""
        results[part] = measured
        atomic.write(path, (json.dumps(results, indent=2) + "\n").encode())

    if "rotation" in FLAGS.only:
        rows = rotation.run(FLAGS.seconds)
        print(tables.of_rotation(rows, here))
        note("rotation", [row._asdict() for row in rows])
    if "training" in FLAGS.only:
        measured = training.run(config, FLAGS.seconds)
        print(tables.of_training(measured, here))
        note("training", training.as_dict(measured))
    if "loading" in FLAGS.only:
        note("loading", loading.run(config, FLAGS.seconds))
        print(tables.of_loading(results["loading"]))
    if "inference" in FLAGS.only:
        note("inference", inference.run(config, FLAGS.seconds))
        print(tables.of_inference(results["inference"]))
    if "encoding" in FLAGS.only:
        note("encoding", encoding.run(config, FLAGS.seconds))
        print(tables.of_encoding(results["encoding"]))
    print(f"written: {path}")


if __name__ == "__main__":
    command.run("rotdis.benchmark", main)
