"""What the page has to show: the objects to choose from, and the directions their codes spread in.

Nothing is prepared or downloaded for it: a run whose data are not here is shown on furniture.
"""

import dataclasses

import ml_collections
import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA

from rotdis.data import furniture, normalize, prepare
from rotdis.data.sources import CLASSES_10
from rotdis.data.voxelset import VoxelSet, pack
from rotdis.inference import Model

DIRECTIONS = 6
_FURNITURE_PER_CLASS = 6
_MOST_CODES = 256  # objects, evenly spread over the split, that the directions are computed from


@dataclasses.dataclass(frozen=True)
class Directions:
    """The principal directions of shape codes, the widest first.

    Attributes:
        steps: a standard deviation along each.
        shares: of the codes' variance that lies along each.
    """

    steps: Float[np.ndarray, "k l"]
    shares: Float[np.ndarray, " k"]


def choose(config: ml_collections.ConfigDict) -> tuple[VoxelSet, str]:
    """Returns the objects to choose from, and what they are, in words.

    The test split of the data that `config.data` describes, where they lie prepared on this
    machine; otherwise pieces of generated furniture, six of each class.

    Args:
        config: `config.data`.

    Raises:
        DataError: the prepared data are damaged.
    """
    data = prepare.find(config)
    if data is not None and len(data.test):
        source = data.directory.name.split(f"-{config.resolution}-")[0]
        return data.test, f"the test split of {source}"
    grids, names, labels = [], [], []
    for label, name in enumerate(CLASSES_10):
        for seed in range(_FURNITURE_PER_CLASS):
            mesh = furniture.make_object(name, seed)
            grids.append(normalize.normalize(mesh, config.resolution))
            names.append(f"{name}_{seed}")
            labels.append(label)
    generated = VoxelSet(
        packed=pack(np.stack(grids), partial=True),
        label=np.array(labels, np.int32),
        source_id=tuple(names),
        class_names=CLASSES_10,
        resolution=config.resolution,
        partial=True,
        aligned=True,
    )
    return generated, "generated furniture (the model's own data are not prepared on this machine)"


def directions(codes: Float[np.ndarray, "n l"], count: int = DIRECTIONS) -> Directions:
    """Returns the principal directions of codes, at most `count` and as many as there can be."""
    codes = np.asarray(codes, np.float64)
    with np.errstate(invalid="ignore"):
        pca = PCA(min(count, len(codes) - 1, codes.shape[1])).fit(codes)
    steps = pca.components_ * np.sqrt(pca.explained_variance_)[:, None]
    shares = np.nan_to_num(pca.explained_variance_ratio_)  # codes that are all equal have none
    return Directions(steps.astype(np.float32), shares.astype(np.float32))


def encode(model: Model, objects: VoxelSet) -> Float[np.ndarray, "n l"]:
    """Returns the codes of at most 256 of the objects, evenly spread.

    One by one: that is all the page will ask for, and another batch size would have to be compiled.
    """
    index = np.unique(np.linspace(0, len(objects) - 1, _MOST_CODES).astype(int))
    return np.concatenate(
        [model.encode(objects.voxels(index[i : i + 1])).z_mean for i in range(len(index))]
    )
