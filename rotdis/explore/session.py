"""One browser tab's state: an object, how it is turned and reshaped, and what the model says of it.

Knows nothing of pages and connections. All tabs share the model; each has a session of its own.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import trimesh
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from rotdis import surfaces
from rotdis.explore.objects import Directions
from rotdis.inference import Model
from rotdis.metrics import reconstruction
from rotdis.models.rotation_vae import Code
from rotdis.pictures import turn
from rotdis.render import CANONICAL_COLOR, INPUT_COLOR, RECONSTRUCTION_COLOR

EXPORT_FORMATS = ("glb", "obj", "stl")
PARTS = ("input", "canonical", "decoded")
MOST_HYPOTHESES = 4
COLORS = dict(zip(PARTS, (INPUT_COLOR, CANONICAL_COLOR, RECONSTRUCTION_COLOR), strict=True))
_SPACING = 2.3  # between the parts of an export of all, in radii of their enclosing balls


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """A pose that the model weighs: its probability, and its angle in degrees to the one taken."""

    weight: float
    angle: float


@dataclasses.dataclass(frozen=True)
class Inference:
    """What the model says of the object as it is turned.

    Attributes:
        moved: degrees between the canonical form now and the one of the object unturned; an
            inference that is equivariant has 0 at every rotation.
        overlap: IoU of these two canonical forms, which no symmetry of the object lowers.
        iou: of the reconstruction with the turned object, as decoded with the shift of its shape.
        hypotheses: the heaviest, heaviest first; none where the model has no posterior on poses.
    """

    moved: float
    overlap: float
    iou: float
    hypotheses: tuple[Hypothesis, ...]


@dataclasses.dataclass(frozen=True)
class Shown:
    """What is shown.

    Attributes:
        volumes: by part.
        inference: that they rest on, if there was one.
        canonical: computes the canonical form in the model's own frame, whichever way it is shown:
            what is exported, and not needed while an object is dragged.
    """

    volumes: dict[str, Float[np.ndarray, "d d d"]]
    inference: Inference | None
    canonical: Callable[[], Float[np.ndarray, "d d d"]]


class Session:
    """A tab's state.

    Attributes:
        name: of the object.
        voxels: the object, unturned.
        shown: what was shown last; None before the first time.
    """

    def __init__(self, model: Model, directions: Directions):
        self.model = model
        self.name = ""
        self.voxels: Float[np.ndarray, "d d d"] | None = None
        self.shown: Shown | None = None
        self._directions = directions
        self._first = np.eye(3, dtype=np.float32)
        self._z = np.zeros(model.latent_size, np.float32)

    def open(self, name: str, voxels: Float[np.ndarray, "d d d"]) -> None:
        """Takes another object, normalized, and infers its pose and shape as it comes."""
        code = self.model.encode(voxels[None])
        self.name, self.voxels, self.shown = name, voxels, None
        self._first, self._z = code.rotation[0], code.z_mean[0]

    def infer(
        self,
        rotation: Float[np.ndarray, "3 3"],
        amounts: Sequence[float] = (),
        upright: bool = False,
    ) -> Shown:
        """Turns the object, infers pose and shape from that alone, and decodes what was inferred.

        Args:
            rotation: by which the object is turned.
            amounts: by how many standard deviations the inferred code is shifted along the first
                principal directions before it is decoded.
            upright: show the canonical form, for the eye alone, turned by one rotation that depends
                on the object but not on how it is turned: the pose inferred of it as it came.
        """
        rotation = np.asarray(rotation, np.float32)
        turned = self._turn(rotation)
        code = self.model.encode(turned[None])
        pose, self._z = code.rotation[0], code.z_mean[0]
        # Resampled once, from the object itself: turning back what was turned would blur it twice.
        back = pose.T @ rotation
        standing = self._turn(self._first @ back)
        decoded = self.model.decode(self._shifted(amounts), pose[None])[0]
        inference = Inference(
            moved=_degrees(pose, rotation @ self._first),
            overlap=_iou(self.voxels, standing),
            iou=_iou(turned, decoded),
            hypotheses=_hypotheses(code),
        )
        canonical = standing if upright else self._turn(back)
        volumes = {"input": turned, "canonical": canonical, "decoded": decoded}
        self.shown = Shown(volumes, inference, lambda: self._turn(back))
        return self.shown

    def decode(
        self,
        rotation: Float[np.ndarray, "3 3"],
        amounts: Sequence[float] = (),
        upright: bool = False,
    ) -> Shown:
        """Decodes the shape last inferred or drawn at any rotation; nothing is inferred.

        Args:
            rotation: at which it is decoded; where `upright`, counted from the pose that was
                inferred of the object as it came.
            amounts: as in `infer`.
            upright: as in `infer`.
        """
        unturned = np.eye(3, dtype=np.float32)
        still = self._first if upright else unturned
        z = self._shifted(amounts)

        def decoded(at: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "d d d"]:
            return self.model.decode(z, at[None])[0]  # batches of one are compiled already

        turned = np.asarray(rotation, np.float32) @ still
        volumes = {"canonical": decoded(still), "decoded": decoded(turned)}
        self.shown = Shown(volumes, None, lambda: decoded(unturned))
        return self.shown

    def sample(self, seed: int) -> None:
        """Draws the shape from the prior, for `decode`."""
        self._z = self.model.sample(1, seed)[0]

    def export(self, parts: Sequence[str], file_format: str) -> bytes:
        """Returns surfaces of what is shown as a file; a whole object's ball has the radius 1.

        The canonical form is exported in the canonical frame, however it is shown. Several parts
        stand side by side along x, in GLB as separate coloured meshes.

        Raises:
            ValueError: nothing is shown, it has none of the parts or no surface, or there is no
                such format.
        """
        if file_format not in EXPORT_FORMATS:
            raise ValueError(f"{file_format!r} is none of {', '.join(EXPORT_FORMATS)}")
        volumes = dict(self.shown.volumes) if self.shown else {}
        if "canonical" in parts and "canonical" in volumes:
            volumes["canonical"] = self.shown.canonical()
        chosen = [part for part in PARTS if part in parts and part in volumes]
        if not chosen:
            raise ValueError(f"there is no {' or '.join(parts) or 'part'} to export now")
        scene = trimesh.Scene()
        for index, part in enumerate(chosen):
            mesh = surfaces.surface(volumes[part])
            if len(mesh.faces):
                if file_format == "glb":
                    material = trimesh.visual.material.PBRMaterial(
                        name=part, baseColorFactor=_linear(COLORS[part]), metallicFactor=0.0
                    )
                    mesh.visual = trimesh.visual.TextureVisuals(material=material)
                mesh.apply_translation([_SPACING * index, 0, 0])
                scene.add_geometry(mesh, node_name=part, geom_name=part)
        if not scene.geometry:
            raise ValueError("there is no surface to export: no voxel is above 0.5")
        content = (
            scene.export(file_type="glb")
            if file_format == "glb"
            else scene.to_mesh().export(file_type=file_format)
        )
        return content.encode() if isinstance(content, str) else content

    def _turn(self, rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "d d d"]:
        return np.asarray(turn(self.voxels[None], rotation[None]))[0]

    def _shifted(self, amounts: Sequence[float]) -> Float[np.ndarray, "1 l"]:
        amounts = np.asarray(amounts, np.float32)[: len(self._directions.steps)]
        return (self._z + amounts @ self._directions.steps[: len(amounts)])[None]


def _iou(one: Float[np.ndarray, "d d d"], other: Float[np.ndarray, "d d d"]) -> float:
    return float(reconstruction.iou(reconstruction.confusion(one, other)))


def _degrees(one: Float[np.ndarray, "3 3"], other: Float[np.ndarray, "3 3"]) -> float:
    return float(np.degrees(Rotation.from_matrix(one.T @ other).magnitude()))


def _hypotheses(code: Code) -> tuple[Hypothesis, ...]:
    if code.posterior is None:
        return ()
    weights = np.exp(code.posterior.log_weights[0])
    heaviest = np.argsort(-weights, kind="stable")[:MOST_HYPOTHESES]
    rotations = code.posterior.rotations[0]
    return tuple(
        Hypothesis(float(weights[i]), _degrees(rotations[i], code.rotation[0])) for i in heaviest
    )


def _linear(color: Sequence[float]) -> tuple[float, ...]:
    """Returns an sRGB colour as glTF has it, linear and opaque (IEC 61966-2-1)."""
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color)
    return (*linear, 1.0)
