"""The command line: flags, the environment and dispatch; what is done is in the library.

python -m rotdis.main --config=configs/X.py --workdir=W [--mode=train] [--config.a.b=value ...]
"""

import sys
from collections.abc import Callable

import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from rotdis.errors import RotdisError

_MODES = {
    "prepare": "voxelize the source and write its shards",
    "train": "train, or go on where W stands; then evaluate and report",
    "evaluate": "evaluate the best checkpoint of W on the test split",
    "report": "write W/report.html",
    "reconstruct": "infer pose, code and reconstruction of the meshes at --input",
    "align": "turn the meshes at --input into one common frame",
    "generate": "sample, interpolate and turn shapes: pictures and meshes",
    "export": "write the best checkpoint of W as one small file",
}

# Packages that only some modes and sources need, and the extra that brings each.
_EXTRAS = {
    "igl": "mesh",
    "trimesh": "mesh",
    "importlib_resources": "tfdata",
    "tensorflow": "tfdata",
    "tensorflow_datasets": "tfdata",
}

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "The configuration, a Python file (it is run).")
flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run: checkpoints, logs, metrics, report. For reconstruct, align and generate "
    "also a packaged model's name, or an exported file.",
)
flags.DEFINE_enum(
    "mode", "train", list(_MODES), "; ".join(f"{mode}: {what}" for mode, what in _MODES.items())
)
flags.DEFINE_string(
    "input",
    None,
    "A mesh file, or a folder of them (OFF, OBJ, STL, PLY, GLB). For --mode=reconstruct and align; "
    "for --mode=generate the objects to interpolate and turn [generated furniture].",
)
flags.DEFINE_string(
    "output",
    None,
    "Where to write. For --mode=reconstruct [W/reconstruct], align [W/aligned] and generate "
    "[W/generated] a folder, for export a file NAME.rotdis [named after W, in W].",
)
flags.DEFINE_enum(
    "mesh_format",
    None,
    ["off", "obj", "stl", "ply", "glb"],
    "Of the meshes written by --mode=generate [ply], reconstruct and align [each file's own].",
)
flags.DEFINE_enum(
    "align_by",
    "folder",
    ["folder", "all"],
    "What gets a common frame by --mode=align: each folder's meshes, being of one kind, or all.",
)


def _run(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise RotdisError(f"what is {arguments[1]!r}? options are written --name=value")
    from rotdis import commands, config  # after the flags, so that --help is quick

    commands.run(
        FLAGS.mode,
        config=_validated(config.validate),
        workdir=FLAGS.workdir,
        input_path=FLAGS.input,
        output=FLAGS.output,
        mesh_format=FLAGS.mesh_format,
        align_by=FLAGS.align_by,
    )


def _validated(validate: Callable) -> ml_collections.ConfigDict | None:
    """Returns the checked configuration; None where no --config was given."""
    config = FLAGS.config
    if config is None:
        return None
    try:
        validate(config)
    except OSError as error:  # raised at the first use of a configuration that did not load
        reason = str(error).strip().splitlines()[-1].strip()
        raise RotdisError(f"--config={FLAGS['config'].config_filename}: {reason}") from error
    return config


def _parse(arguments: list[str]) -> list[str]:
    """Parses flags; whatever is wrong with them is the user's to mend, in one line."""
    if any(argument.lstrip("-").startswith("help") for argument in arguments[1:]):
        app.define_help_flags()
        try:
            app.parse_flags_with_usage(arguments)
        except SystemExit:
            sys.exit(0)  # help that was asked for is no failure
    try:
        return FLAGS(arguments)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        message = " ".join(str(error).split())
        raise RotdisError(f"{message} (see --help)") from error


def main() -> None:
    """Runs the command line; exits with 2 on anything that the user can mend."""
    logging.set_verbosity(logging.ERROR)
    try:
        _run(_parse(sys.argv))
    except RotdisError as error:
        print(f"rotdis: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_status", 2))
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        if package not in _EXTRAS:
            raise
        print(
            f"rotdis: this needs {package}, which is not installed: "
            f"pip install -e '.[{_EXTRAS[package]}]'",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
