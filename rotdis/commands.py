"""What each mode of the command line does, in terms of the library."""

import copy
import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import ml_collections

from rotdis import (
    atomic,
    distributed,
    evaluate,
    inference,
    packaged,
    pictures,
    report,
    run_folder,
    train,
)
from rotdis.config import base_config, describe
from rotdis.data import prepare
from rotdis.data.prepare import PreparedData
from rotdis.errors import ConfigError, UsageError
from rotdis.evaluate import Evaluation
from rotdis.inference import Model
from rotdis.metrics import symmetry


@dataclasses.dataclass(frozen=True)
class Page:
    """Where "explore" serves its page, and whether it is opened in the browser."""

    host: str = "127.0.0.1"
    port: int = 8765
    open_browser: bool = True


def run(
    mode: str,
    config: ml_collections.ConfigDict | None,
    workdir: str | None,
    input_path: str | None = None,
    output: str | None = None,
    mesh_format: str | None = None,
    align_by: str = "folder",
    page: Page = Page(),
) -> None:
    """Runs a mode.

    Args:
        mode: "prepare", "train", "evaluate", "report", "reconstruct", "align", "generate",
            "explore" or "export".
        config: a validated configuration; "prepare" and "train" need one. The others take the
            model's own, and from one that is given where the data are and how poses are found;
            "export" takes none.
        workdir: the run's folder; "prepare" does without, and "evaluate", "reconstruct", "align",
            "generate" and "explore" take whatever `inference.load` takes.
        input_path: meshes to reconstruct, to align, or to generate from.
        output: the folder to write into, or the file to export to.
        mesh_format: of the meshes that are written; by default PLY for generated ones, and each
            file's own format for the user's.
        align_by: what shares a frame, one of `align.KINDS`.
        page: of "explore".

    Raises:
        RotdisError: something is missing or wrong; the message is for the user.
    """
    # After the = of an option a shell leaves ~ as it is.
    workdir, input_path, output = (
        path and os.path.expanduser(path) for path in (workdir, input_path, output)
    )
    if mode != "prepare" and not workdir:
        raise UsageError("--workdir: say in which folder the run is, or shall be")
    if mode in ("prepare", "train") and config is None:
        raise UsageError("--config: say which configuration, such as --config=configs/furniture.py")
    if mode == "export" and config is not None:
        raise UsageError("--config: is not for --mode=export, which writes a model as it is")
    if mode != "prepare":
        _check_name(mode, workdir)
    if mode == "prepare":
        prepare_data(config)
    elif mode == "train":
        train_and_evaluate(config, workdir)
    elif mode == "evaluate":
        evaluate_model(workdir, config, output)
    elif mode == "report":
        report_run(workdir, config)
    elif mode == "reconstruct":
        reconstruct_meshes(workdir, config, input_path, output, mesh_format)
    elif mode == "align":
        align_meshes(workdir, config, input_path, output, mesh_format, align_by)
    elif mode == "generate":
        generate_shapes(workdir, config, input_path, output, mesh_format or "ply")
    elif mode == "explore":
        explore_model(workdir, config, page)
    else:
        export_model(workdir, output)


def _check_name(mode: str, workdir: str) -> None:
    """Makes sure that a name does not stand for both a packaged model and a run."""
    is_model = packaged.find(workdir) is not None
    if is_model and (
        mode in ("train", "report", "export") or (Path(workdir) / "config.json").exists()
    ):
        raise UsageError(
            f"--workdir: {workdir} is the name of a model that comes with rotdis; if a folder is "
            f"meant, say ./{workdir}"
        )


def prepare_data(config: ml_collections.ConfigDict) -> None:
    """Voxelizes the source, writes the shards, and prints where they are."""
    from rotdis.data import modelnet  # needs TensorFlow

    data = prepare.prepare(config.data)
    print(f"prepared: {data.directory}")
    print(f"shards: {modelnet.write_shards(data)}")


def train_and_evaluate(config: ml_collections.ConfigDict, workdir: str | Path) -> None:
    """Trains (or resumes), then evaluates and reports; of several processes, the first does."""
    _check_folder("--workdir", workdir, "a run needs a folder")
    print(describe(config))
    data = train.train(config, workdir)
    if len(data.test):
        distributed.on_first(lambda: report_run(workdir, config))
    else:
        print("the source has no test objects: nothing to evaluate")


def evaluate_model(
    workdir: str | Path, config: ml_collections.ConfigDict | None, output: str | None = None
) -> None:
    """Evaluates a run's best checkpoint, or a packaged or exported model; see `_evaluated`."""
    folder = _folder(workdir, output, ".")
    model = _as_configured(inference.load(workdir), workdir, config)
    source = model.config.data.source
    if config is None and source not in ("", "furniture") and not Path(source).exists():
        raise UsageError(
            f"--config: say on which data; {workdir} was trained on {source}, which is not here "
            "(--config=configs/modelnet.py --config.data.source=PATH, say)"
        )
    _evaluated(model, config or model.config, folder)


def _as_configured(
    model: Model, source: str | Path, config: ml_collections.ConfigDict | None
) -> Model:
    """Returns a model that searches and refines poses as a configuration says, if there is one.

    It searches among the rotations by which that configuration turns objects.

    Args:
        model: the model.
        source: where it is from.
        config: of the same model.
    """
    if config is None:
        return model
    run_folder.check_same_model(source, model.config, config)
    own = copy.deepcopy(model.config)
    own.pose, own.search = config.pose, config.search
    own.data.rotations = config.data.rotations
    return Model(own, model.params)


def _evaluated(
    model: Model, config: ml_collections.ConfigDict, folder: Path
) -> tuple[PreparedData, Evaluation]:
    """Evaluates a model on the test split of the data that a configuration describes.

    Args:
        model: the model.
        config: says on which data, and how many objects at a time.
        folder: gets `metrics.json`, and `evaluated.json`, of which data it is.
    """
    data = prepare.prepare(config.data)
    if not len(data.test):
        raise ConfigError(f"{config.data.source or config.data.dataset}: has no test split")
    _tell_of_idle_symmetries(config.eval.symmetries, data.test.class_names)
    atomic.make_folder(folder)
    evaluation = evaluate.evaluate(
        model,
        data.test,
        (data.train, data.validation),
        seed=config.eval.seed,
        batch_size=config.eval.batch_size,
        max_train=config.eval.max_train,
        rotations=config.data.rotations,
        groups={"oriented": config.eval.oriented_classes},
        thorough=True,
        symmetries=config.eval.symmetries,
    )
    evaluate.write_metrics(folder / "metrics.json", evaluation.metrics)
    run_folder.note_evaluation(folder, config)
    print(evaluate.format_table(evaluation.metrics))
    return data, evaluation


def _tell_of_idle_symmetries(declared: Sequence[str], class_names: Sequence[str]) -> None:
    """Tells of declared classes that are not there: by a slip of the pen nothing is forgiven."""
    known = {*class_names, *symmetry.parse(base_config().eval.symmetries)}
    for name in sorted(symmetry.parse(declared).keys() - known):
        print(
            f"eval.symmetries: {name!r} is no class of the data ({', '.join(class_names)}), and "
            "changes nothing"
        )


def report_run(workdir: str | Path, config: ml_collections.ConfigDict | None = None) -> None:
    """Evaluates, and writes the report with its pictures, `pictures/opening.png` among them."""
    model = _as_configured(inference.load_run(workdir), workdir, config)
    data, evaluation = _evaluated(model, config or model.config, Path(workdir))
    if evaluation.predictions is not None:
        path = Path(workdir) / "pictures" / "opening.png"
        present = {data.test.class_names[label] for label in evaluation.predictions.label}
        oriented = [name for name in model.config.eval.oriented_classes if name in present]
        pictures.opening_picture(
            data.test, evaluation.predictions, path, classes=oriented[-4:] or sorted(present)[:4]
        )
    print(f"report: {report.write_report(workdir, model, data.test, evaluation)}")


def reconstruct_meshes(
    workdir: str | Path,
    config: ml_collections.ConfigDict | None,
    input_path: str | None,
    output: str | None,
    mesh_format: str | None = None,
) -> None:
    """Infers pose, code and reconstruction of every mesh at `input_path`."""
    from rotdis import reconstruct  # needs trimesh

    if not input_path:
        raise UsageError("--input: say which mesh file or folder of meshes to reconstruct")
    folder = _folder(workdir, output, "reconstruct")
    model = _as_configured(inference.load(workdir), workdir, config)
    reconstruct.reconstruct(model, input_path, folder, mesh_format=mesh_format, workers=0)


def align_meshes(
    workdir: str | Path,
    config: ml_collections.ConfigDict | None,
    input_path: str | None,
    output: str | None,
    mesh_format: str | None = None,
    align_by: str = "folder",
) -> None:
    """Turns the meshes at `input_path` into a common frame."""
    from rotdis import align  # needs trimesh

    if not input_path:
        raise UsageError("--input: say which folder of meshes to align")
    folder = _folder(workdir, output, "aligned")
    model = _as_configured(inference.load(workdir), workdir, config)
    align.align(model, input_path, folder, by=align_by, mesh_format=mesh_format, workers=0)


def generate_shapes(
    workdir: str | Path,
    config: ml_collections.ConfigDict | None,
    input_path: str | None,
    output: str | None,
    mesh_format: str,
) -> None:
    """Writes samples, interpolations and a rotation sweep as pictures and meshes."""
    from rotdis import gallery  # needs trimesh

    folder = _folder(workdir, output, "generated")
    model = _as_configured(inference.load(workdir), workdir, config)
    objects = gallery.load_objects(input_path, model.resolution, folder) if input_path else None
    seed = config.seed if config else 0
    gallery.write_gallery(model, folder, objects, seed=seed, mesh_format=mesh_format)


def explore_model(
    workdir: str | Path, config: ml_collections.ConfigDict | None, page: Page
) -> None:
    """Serves a page on the model until Ctrl-C."""
    from rotdis.explore import explorer, objects, server  # need trimesh and websockets

    model = _as_configured(inference.load(workdir), workdir, config)
    chosen, description = objects.choose((config or model.config).data)
    print(f"explore: {len(chosen)} objects, {description}")
    print("explore: compiling, so that the first drag is as quick as the others", flush=True)
    name = Path(workdir).resolve().name if Path(workdir).exists() else str(workdir)
    answering = explorer.Explorer(model, chosen, description, name)
    server.run(answering, page.host, page.port, page.open_browser)


def export_model(workdir: str | Path, output: str | None) -> None:
    """Writes the best checkpoint as one file, and the draft of its card."""
    from rotdis.packaged import export  # its golden objects need trimesh

    name = Path(workdir).resolve().name
    export.export(workdir, output or Path(workdir) / f"{name}{packaged.SUFFIX}")


def _folder(workdir: str | Path, output: str | None, name: str) -> Path:
    """Returns where to write: into the run, unless it is said, or the model is no folder."""
    if output:
        _check_folder("--output", output, "results need a folder")
        return Path(output)
    if packaged.find(workdir) or Path(workdir).is_file():
        raise UsageError(f"--output: say where to write; {workdir} is a model, not a folder")
    return Path(workdir) / name


def _check_folder(option: str, folder: str | Path, need: str) -> None:
    """Makes sure, before the work and not after it, that a path is no file and in none."""
    for path in (Path(folder), *Path(folder).parents):
        if path.is_file():
            raise UsageError(f"{option}: {path} is a file; {need}")
