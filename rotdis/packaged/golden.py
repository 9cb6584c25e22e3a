"""What a model says of a few objects when it is exported, so that later changes can be held to it.

The objects are generated furniture, turned at random, and are kept in the file with the answers: a
later change of the generator or the voxelizer has no part in the comparison. That objects are still
brought to the place and size that the model knows is held by a block, normalized then and now.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from rotdis.data import furniture, normalize, voxelset
from rotdis.inference import Model
from rotdis.metrics import reconstruction
from rotdis.pictures import turn

# How far each answer may be from what it was. Rounding on other processors is far below; a changed
# architecture, convention or normalization far above.
TOLERANCE = {"z_mean": 0.05, "rotation_deg": 1.0, "iou": 0.01, "decoded": 0.03}
_BLOCK_TOLERANCE = 0.02  # of the normalized block's occupancy, the share that may change
_COUNT = 4
_CLASSES = ("bed", "chair", "desk", "monitor", "night_stand", "sofa", "table", "toilet")


def make(model: Model) -> dict[str, np.ndarray]:
    """Returns the golden arrays of a model.

    Of one turned object a class, those are left out whose answers a faint noise changes most (a
    pose that hangs on a hair may fall the other way on another processor), and of the others the
    four are kept that are reconstructed best.

    Returns:
        `voxels` (4, D^3) as bytes, `z_mean` (4, L), `rotation` (4, 3, 3), `decoded` (4, D^3) as
        bytes, its `iou` (4,) with `voxels`, and `block` (1, D^3).
    """
    upright = np.stack(
        [normalize.normalize(furniture.make_object(c, 0), model.resolution) for c in _CLASSES]
    )
    turns = Rotation.random(len(upright), rng=0).as_matrix().astype(np.float32)
    packed = voxelset.pack(np.asarray(turn(upright, turns)), partial=True)
    answers = _answers(model, packed)
    noise = np.random.default_rng(0).integers(-2, 3, packed.shape)
    changed = _answers(model, np.clip(packed + noise, 0, 255).astype(np.uint8))
    change = differences(answers, changed)
    order = np.argsort(sum(change[key] / TOLERANCE[key] for key in TOLERANCE), kind="stable")
    steady = order[: 3 * len(order) // 4]
    kept = np.sort(steady[np.argsort(-answers["iou"][steady], kind="stable")[:_COUNT]])
    kept_answers = {key: answer[kept] for key, answer in answers.items()}
    return {"voxels": packed[kept], "block": _block(model.resolution), **kept_answers}


def compare(model: Model, golden: dict[str, np.ndarray]) -> list[str]:
    """Returns what a model says differently from its golden answers, a line each; none if well."""
    change = differences(golden, _answers(model, golden["voxels"]))
    lines = [
        f"object {index}: {key} differs by {value:.4g} (allowed: {TOLERANCE[key]:g})"
        for key, values in change.items()
        for index, value in enumerate(values)
        if not value <= TOLERANCE[key]
    ]
    then, now = (block.astype(int) for block in (golden["block"], _block(model.resolution)))
    share = np.abs(now - then).sum() / then.sum()
    if share > _BLOCK_TOLERANCE:
        lines.append(
            f"objects are normalized differently: {share:.2g} of a block's occupancy changed "
            f"(allowed: {_BLOCK_TOLERANCE:g})"
        )
    return lines


def differences(
    one: dict[str, np.ndarray], other: dict[str, np.ndarray]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Returns how far two sets of answers are apart, an entry per object.

    `z_mean` is the largest difference of a component, `rotation_deg` the angle between the
    rotations, `iou` the difference, and `decoded` the norm of the difference over the norm.
    """
    relative = np.swapaxes(one["rotation"], 1, 2) @ other["rotation"]
    return {
        "z_mean": np.abs(one["z_mean"] - other["z_mean"]).max(axis=1),
        "rotation_deg": np.degrees(Rotation.from_matrix(relative).magnitude()),
        "iou": np.abs(one["iou"] - other["iou"]),
        "decoded": _relative(one["decoded"], other["decoded"]),
    }


def _relative(one: np.ndarray, other: np.ndarray) -> Float[np.ndarray, " n"]:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return np.linalg.norm(one - other, axis=1) / np.maximum(np.linalg.norm(one, axis=1), 1.0)


def _block(resolution: int) -> np.ndarray:
    grid = np.zeros((24, 20, 28), bool)
    grid[3:10, 4:16, 2:25] = grid[10:21, 4:9, 2:8] = True
    return voxelset.pack(normalize.normalize(grid, resolution)[None], partial=True)


def _answers(model: Model, packed: np.ndarray) -> dict[str, np.ndarray]:
    voxels = voxelset.unpack(packed, model.resolution, partial=True)
    code = model.encode(voxels)
    rebuilt = model.decode(code.z_mean, code.rotation)
    counts = [reconstruction.confusion(*pair) for pair in zip(voxels, rebuilt, strict=True)]
    return {
        "z_mean": code.z_mean,
        "rotation": code.rotation,
        "iou": np.array([float(reconstruction.iou(count)) for count in counts], np.float32),
        "decoded": voxelset.pack(rebuilt, partial=True),
    }
