"""The command line: flags, the environment and dispatch; what is done is in the library.

python -m rotdis.main --config=configs/X.py --workdir=W [--mode=train] [--config.a.b=value ...]

`--help` explains the rest; its text is in `rotdis.usage`.
"""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator

import ml_collections
from absl import app, flags, logging
from ml_collections import config_flags

from rotdis import __version__, config_file, extras, interrupt, usage
from rotdis.errors import RotdisError, UsageError

# In the order of `--help`. What a mode does is in `rotdis.commands`.
_MODES = {
    "train": "the default: train, or go on where W stands; then evaluate and report",
    "prepare": "voxelize the source and write its shards",
    "evaluate": "evaluate the best checkpoint of W on the test split: metrics.json, a table",
    "report": "write W/report.html",
    "reconstruct": "infer pose, code and reconstruction of the meshes at --input",
    "align": "turn the meshes at --input into one common frame",
    "generate": "sample, interpolate and turn shapes: pictures and meshes",
    "explore": "open a local page on which objects can be turned and reshaped",
    "export": "write the best checkpoint of W as one small file",
}

# What a disk may say of what is read or written, whatever the mode.
_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO),
    *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP),
}

# Options that are not for every mode.
_ONLY_FOR = {
    "input": ("reconstruct", "align", "generate"),
    "output": ("evaluate", "reconstruct", "align", "generate", "export"),
    "mesh_format": ("reconstruct", "align", "generate"),
    "align_by": ("align",),
    **dict.fromkeys(("host", "port", "browser"), ("explore",)),
    **dict.fromkeys(("processes", "coordinator", "process_id"), ("train",)),
}

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file("config", None, "The configuration, a Python file (it is run).")
FLAGS["config"].parser = config_file.Parser(FLAGS["config"].parser)
flags.DEFINE_string(
    "workdir",
    None,
    "Folder of the run: checkpoints, logs, metrics, report. For evaluate, reconstruct, align, "
    "generate and explore also a packaged model's name, or an exported file.",
)
flags.DEFINE_enum(
    "mode", "train", list(_MODES), "; ".join(f"{mode}: {what}" for mode, what in _MODES.items())
)
flags.DEFINE_string(
    "input",
    None,
    "A mesh file, or a folder of them (OFF, OBJ, STL, PLY, GLB, binvox). For --mode=reconstruct "
    "and align; for --mode=generate the objects to interpolate and turn [generated furniture].",
)
flags.DEFINE_string(
    "output",
    None,
    "Where to write. For --mode=evaluate [W], reconstruct [W/reconstruct], align [W/aligned] and "
    "generate [W/generated] a folder, for export a file NAME.rotdis [named after W, in W].",
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
flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "For --mode=explore: the address to listen on [127.0.0.1, reached from this machine alone].",
)
flags.DEFINE_integer(
    "port",
    8765,
    "For --mode=explore: the port to listen on; 0 takes any that is free [8765].",
    0,
    65535,
)
flags.DEFINE_integer(
    "processes",
    1,
    "For --mode=train: how many processes train one model together, each started with this same "
    "command; 0 where SLURM, Open MPI, Kubernetes or a TPU pod says how many and which this is "
    "[1].",
    0,
)
flags.DEFINE_string(
    "coordinator", None, "With --processes=N: HOST:PORT at which process 0 is reached by all."
)
flags.DEFINE_integer("process_id", None, "With --processes=N: which of them this is, from 0.", 0)
flags.DEFINE_boolean(
    "browser", True, "For --mode=explore: open the page in the browser; --nobrowser does not."
)


def _run(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise UsageError(f"what is {arguments[1]!r}? options are written --name=value")
    from rotdis import commands, config_rules, distributed  # after the flags: --help is quick

    validated = _validated(config_rules.validate)
    for option, modes in _ONLY_FOR.items():
        if FLAGS[option].present and FLAGS.mode not in modes:
            raise UsageError(f"--{option}: is for --mode={', '.join(modes)}, not {FLAGS.mode}")
    distributed.initialize(FLAGS.coordinator, FLAGS.processes, FLAGS.process_id)
    distributed.silence_others()
    with distributed.leaving_on_errors(), _explained():
        commands.run(
            FLAGS.mode,
            config=validated,
            workdir=FLAGS.workdir,
            input_path=FLAGS.input,
            output=FLAGS.output,
            mesh_format=FLAGS.mesh_format,
            align_by=FLAGS.align_by,
            page=commands.Page(FLAGS.host, FLAGS.port, FLAGS.browser),
        )


def _validated(validate: Callable) -> ml_collections.ConfigDict | None:
    """Returns the checked configuration; None where no --config was given."""
    config = FLAGS.config
    if config is not None:
        validate(config)
    return config


def _parse(arguments: list[str]) -> list[str]:
    """Parses flags; whatever is wrong with them is the user's to mend, in one line."""
    asked = {argument.lstrip("-") for argument in arguments[1:] if argument.startswith("-")}
    if asked & {"help", "h"}:
        print(usage.text(_MODES, FLAGS))
        sys.exit(0)
    if "version" in asked:
        print(f"rotdis {__version__}")
        sys.exit(0)
    if asked & {"helpfull", "helpshort", "helpxml"}:  # absl's own, with every library's flags
        app.define_help_flags()
        try:
            app.parse_flags_with_usage(arguments)
        except SystemExit:
            sys.exit(0)  # help that was asked for is no failure
    try:
        return FLAGS(arguments)
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
        message = (
            config_file.unknown_field(FLAGS, arguments[1:])
            or f"{' '.join(str(error).split())} (see --help)"
        )
        raise UsageError(message) from error


def main() -> None:
    """Runs the command line.

    Exits with 0 when all is done, 1 for what a message asks the user to mend (and for a defect of
    ours, which shows its traceback), 2 where it is the command line or the configuration, and like
    a process that a signal ended (130 for Ctrl-C, 143 for SIGTERM) after one.
    """
    logging.set_verbosity(logging.ERROR)
    sys.stdout.reconfigure(errors="backslashreplace")  # a file may have a name that is not UTF-8
    interrupt.raise_stopped_on_signals()
    try:
        with _explained():
            _run(_parse(sys.argv))
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output, as `head`, wants no more of it
        sys.stdout = open(os.devnull, "w")
        sys.exit(128 + signal.SIGPIPE)
    except (RotdisError, interrupt.Stopped) as error:
        print(f"rotdis: {error}", file=sys.stderr)
        sys.exit(error.exit_status)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Says of a missing package, of a disk's errors and of too little memory what to do."""
    try:
        yield
    except ImportError as error:
        raise extras.missing(error) from error
    except (MemoryError, RuntimeError) as error:  # of the host; of a device, as JAX reports it
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise RotdisError(
            f"memory runs out ({' '.join(str(error).split())[:120] or 'of the host'}); lower "
            "config.train.batch_size, config.eval.batch_size, the widths (config.model, "
            "config.pose) or config.frames.capacity; what is saved is kept"
        ) from error
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise RotdisError(
            f"{error.filename or 'a file'}: cannot be read or written ({error.strerror}); what is "
            "saved is kept: mend that, and start the same command again"
        ) from error


if __name__ == "__main__":
    main()
