"""Answers what a tab asks, by the model and that tab's session; knows of no connections."""

from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Float

from rotdis.data import meshes, voxelize
from rotdis.data.voxelset import VoxelSet
from rotdis.errors import RotdisError
from rotdis.explore import objects as explored
from rotdis.explore import protocol
from rotdis.explore.session import EXPORT_FORMATS, PARTS, Session
from rotdis.inference import Model

UPLOAD_LIMIT = 20_000_000  # bytes of a mesh file
UPLOAD_TYPES = ("off", "obj", "stl", "ply", "glb")


class Explorer:
    """One model and the objects to choose from, for any number of tabs.

    Making one takes the codes of the objects and compiles all that a drag needs, so that the first
    drag is as quick as the others.

    Args:
        model: the trained model.
        objects: to choose from.
        description: of the objects, in words.
        name: of the model, in words.
    """

    def __init__(self, model: Model, objects: VoxelSet, description: str, name: str):
        self._model, self._objects = model, objects
        self._about = {"model": name, "objects": description}
        self._directions = explored.directions(explored.encode(model, objects))
        self._warm_up()

    def _warm_up(self) -> None:
        session = self.new_session()
        session.open("", self._voxels(0))
        shown = session.infer(np.eye(3), upright=True)
        session.decode(np.eye(3))
        for part, volume in shown.volumes.items():
            protocol.mesh_arrays(part, volume)

    def new_session(self) -> Session:
        """Returns the state of a new tab."""
        return Session(self._model, self._directions)

    def hello(self) -> bytes:
        """Returns the first message to a tab: all that its controls need to know."""
        return protocol.pack(
            "hello",
            about=self._about,
            objects=[
                {"class": self._objects.class_names[label], "name": PurePosixPath(name).stem}
                for label, name in zip(self._objects.label, self._objects.source_id, strict=True)
            ],
            shares=self._directions.shares.tolist(),
            resolution=self._model.resolution,
            turns=self._model.config.pose.method != "none",
            uploadLimit=UPLOAD_LIMIT,
            uploadTypes=UPLOAD_TYPES,
            exportFormats=EXPORT_FORMATS,
        )

    def answer(self, session: Session, message: protocol.Message) -> bytes:
        """Returns the answer to a message; what the user can mend is answered too, by "error"."""
        try:
            match message:
                case protocol.View():
                    return _show(session, message)
                case protocol.Open(index):
                    name = PurePosixPath(self._objects.source_id[index]).stem
                    return _open(session, name, self._voxels(index), index)
                case protocol.Upload(name, content):
                    voxels = read_upload(name, content, self._model.resolution)
                    return _open(session, PurePosixPath(name.replace("\\", "/")).stem, voxels)
                case protocol.Sample(seed):
                    session.sample(seed)
                    return protocol.pack("sampled")
                case protocol.Export(parts, file_format):
                    return _export(session, parts, file_format)
        except (RotdisError, ValueError, IndexError) as error:
            return protocol.pack("error", message=" ".join(str(error).split()))

    def _voxels(self, index: int) -> Float[np.ndarray, "d d d"]:
        if not 0 <= index < len(self._objects):
            raise IndexError(f"there is no object {index}")
        return self._objects.voxels(np.array([index]))[0]


def read_upload(name: str, content: bytes, resolution: int) -> Float[np.ndarray, "d d d"]:
    """Returns the object in a mesh file, normalized. The file is read in memory, never written.

    Raises:
        MeshError: it is over the limit, of another format, damaged, or encloses nothing.
    """
    name = PurePosixPath(name.replace("\\", "/")).name or "mesh"
    if len(content) > UPLOAD_LIMIT:
        raise meshes.MeshError(f"{name}: is over the limit of {UPLOAD_LIMIT // 1_000_000} MB")
    if PurePosixPath(name).suffix.lower().lstrip(".") not in UPLOAD_TYPES:
        raise meshes.MeshError(f"{name}: not one of {', '.join(UPLOAD_TYPES)}")
    mesh = meshes.load_mesh(content, name).mesh
    return voxelize.voxelize_part(mesh, resolution)


def _open(
    session: Session, name: str, voxels: Float[np.ndarray, "d d d"], index: int | None = None
) -> bytes:
    session.open(name, voxels)
    return protocol.pack("opened", protocol.mesh_arrays("input", voxels), name=name, index=index)


def _show(session: Session, view: protocol.View) -> bytes:
    if view.mode == "infer" and session.voxels is None:
        raise RotdisError("choose an object first")
    show = session.infer if view.mode == "infer" else session.decode
    shown = show(view.rotation, view.amounts, view.upright)
    arrays = {}
    for part, volume in shown.volumes.items():
        if part != "input":  # the page turns the surface that it has
            arrays |= protocol.mesh_arrays(part, volume)
    inferred = shown.inference and {
        "moved": shown.inference.moved,
        "overlap": shown.inference.overlap,
        "iou": shown.inference.iou,
        "hypotheses": [[each.weight, each.angle] for each in shown.inference.hypotheses],
    }
    return protocol.pack(
        "shown", arrays, sequence=view.sequence, mode=view.mode, inference=inferred
    )


def _export(session: Session, parts: tuple[str, ...], file_format: str) -> bytes:
    content = np.frombuffer(session.export(parts, file_format), np.uint8)
    name = "_".join([session.name or "shape", *(parts if len(parts) < len(PARTS) else ())])
    return protocol.pack("file", {"content": content}, name=f"{name}.{file_format}")
