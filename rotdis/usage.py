"""What `--help` prints: the modes, the options, and the fields of the configuration most used."""

import textwrap
from collections.abc import Mapping

from absl import flags

from rotdis.config import base_config

WIDTH = 96

_HEAD = """\
rotdis learns what a 3-D object is apart from how it is turned.

usage: python -m rotdis.main --config=configs/X.py --workdir=W [--mode=MODE]
                             [--config.SECTION.FIELD=VALUE ...]
"""

# Fields worth knowing on the first day -> why one would set them.
_FIELDS = {
    "data.source": 'a ModelNet zip, a folder CLASS/{train,test}/*.off, a .npz, or "furniture" '
    "(generated); empty: ModelNet is downloaded",
    "data.dataset": "what is downloaded; or modelnet40",
    "data.dir": "where prepared voxels are kept",
    "data.classes": "the classes to keep, such as \"('chair','sofa')\"; empty keeps all",
    "data.resolution": "voxels along a side, a multiple of 16",
    "data.loader": "or tfdata, which feeds shards from memory: for data larger than the device's",
    "model.dtype": "or bfloat16: half of the memory for activations",
    "model.latent_size": "numbers in a shape code",
    "pose.method": "or search, none (affine, plain VAE): configs/baselines",
    "train.start_from": "a trained model to go on from: modelnet10, a file, or a run's folder",
    "train.steps": "how many; a run goes on until it has done them",
    "train.batch_size": "objects in a step, over all devices; less where memory runs out",
    "train.wandb": "a project of Weights & Biases that is to get the metrics, too",
    "eval.symmetries": "which classes look the same after which turns",
}

_TAIL = """\
examples:
  python -m rotdis.main --config=configs/smoke.py --workdir=runs/smoke
      everything once, on a CPU; too short to be good
  python -m rotdis.main --config=configs/furniture.py --workdir=runs/furniture
      the first experiment that learns something; furniture is generated
  python -m rotdis.main --config=configs/modelnet.py --workdir=runs/modelnet10 \\
          --config.data.source=ModelNet10.zip
      the real thing; stopped and given again, it goes on
  python -m rotdis.main --config=configs/modelnet.py --workdir=/shared/runs/modelnet10 \\
          --processes=2 --coordinator=10.0.0.1:8476 --process_id=0
      the first of two processes, on as many machines, that train together; the second is given
      --process_id=1. launch/slurm.sh, launch/tpu.sh and launch/local.sh --processes=2 do it all
  python -m rotdis.main --mode=reconstruct --workdir=runs/modelnet10 --input=chair.obj
      the pose of a mesh

exit status: 0 done; 1 something that the message names is missing or damaged; 2 the command line
or the configuration is wrong; 130 after Ctrl-C (0 where that ends explore) and 143 after SIGTERM
(training saves first).

All fields are explained in rotdis/config.py; --helpfull lists the options of every library."""


def text(modes: Mapping[str, str], options: flags.FlagValues) -> str:
    """Returns the help.

    Args:
        modes: name -> what it does.
        options: those of the command line; all that `rotdis.main` defines are listed.
    """
    main = options.flags_by_module_dict()[options.find_module_defining_flag("workdir")]
    listed = {f"--{flag.name}": _help(flag) for flag in main if flag.name != "mode"}
    defaults = base_config()
    fields = {
        f"--config.{key}": f"{why} [{_default(defaults, key)}]" for key, why in _FIELDS.items()
    }
    sections = (
        ("modes, --mode=", modes),
        ("options", listed),
        ("fields of the configuration most used [defaults of configs/modelnet.py]", fields),
    )
    return "\n".join([_HEAD, *(_section(*section) for section in sections), _TAIL])


def _section(title: str, rows: Mapping[str, str]) -> str:
    column = max(map(len, rows)) + 4
    lines = [f"{title}:"]
    for name, what in rows.items():
        filled = textwrap.fill(
            " ".join(what.split()), WIDTH, initial_indent=" " * column,
            subsequent_indent=" " * column, break_on_hyphens=False,
        )  # fmt: skip
        lines.append(f"  {name:{column - 2}}{filled.lstrip()}")
    return "\n".join(lines) + "\n"


def _help(flag: flags.Flag) -> str:
    values = getattr(flag.parser, "enum_values", ())
    text = flag.help.split(">: ")[-1]  # without absl's "<ply|obj|glb>: "
    return f"{text} One of {', '.join(values)}." if values else text


def _default(config, key: str) -> str:
    for part in key.split("."):
        config = config[part]
    if isinstance(config, tuple):
        return ",".join(map(str, config)) or "empty"
    return str(config) or "empty"
