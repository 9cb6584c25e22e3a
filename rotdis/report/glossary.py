"""What each metric says, in a sentence, for those who read the report's tables."""

from typing import NamedTuple

_DEGREE = "\N{DEGREE SIGN}"


class Entry(NamedTuple):
    """One metric for people.

    Attributes:
        title: what it is called.
        form: how its values are written, a format for `format`.
        unit: written behind them.
        better: "higher", "lower", or "" where neither is.
        text: what it says.
    """

    title: str
    form: str
    unit: str
    better: str
    text: str


def _share(title: str, text: str, better: str = "higher") -> Entry:
    return Entry(title, ".3f", "", better, text)


def _angle(title: str, text: str, better: str = "lower") -> Entry:
    return Entry(title, ".1f", _DEGREE, better, text)


GROUPS: dict[str, dict[str, Entry]] = {
    "Reconstruction": {
        "reconstruction/iou": _share(
            "Reconstruction IoU",
            "Overlap of a view and its reconstruction, both thresholded at one half: intersection "
            "over union; 1 is perfect.",
        ),
        "reconstruction/sse": Entry(
            "SSE",
            ".1f",
            "",
            "lower",
            "Squared error summed over the voxels of a view; it grows with the grid's side.",
        ),
        "reconstruction/iou_turned": _share(
            "Reconstruction IoU, turned",
            "Of a model of aligned objects: the same where object and reconstruction are both "
            "turned at random, to stand beside models that see turned objects.",
        ),
        "reconstruction/sse_turned": Entry(
            "SSE, turned",
            ".1f",
            "",
            "lower",
            "Of a model of aligned objects: the SSE where object and reconstruction are both "
            "turned at random. Turning blurs, which lowers it by about a third; only this one can "
            "be compared with the SSE of models that see turned objects.",
        ),
        "reconstruction/sse_other_view": Entry(
            "SSE, other view's code",
            ".1f",
            "",
            "lower",
            "The same when the shape is decoded from the code of the other view: close to the "
            "plain SSE where the code does not depend on the pose.",
        ),
        "reconstruction/tpr": _share(
            "True positive rate", "Share of the occupied voxels that are reconstructed."
        ),
        "reconstruction/tnr": _share(
            "True negative rate", "Share of the empty voxels that stay empty."
        ),
    },
    "Pose": {
        "pose/pair_median_deg": _angle(
            "Pair error, median",
            "Angle between the inferred and the true relative rotation of an object's two views. "
            "Guessing among all rotations gives 132\N{DEGREE SIGN}. On symmetric objects it "
            "measures the symmetry.",
        ),
        "pose/pair_acc15": _share(
            f"Pairs within 15{_DEGREE}", "Share of the objects whose pair error is below it."
        ),
        "pose/pair_acc30": _share(
            f"Pairs within 30{_DEGREE}", "Share of the objects whose pair error is below it."
        ),
        "pose/pair_median_symmetric_deg": _angle(
            "Pair error up to class symmetry",
            "The same to the nearest of the rotations that the class is declared to be blind to "
            "(config.eval.symmetries).",
        ),
        "pose/pair_acc30_symmetric": _share(
            f"Pairs within 30{_DEGREE} up to class symmetry", "The share of objects by that error."
        ),
        "pose/pair_median_selfsimilar_deg": _angle(
            "Pair error up to self-similarity",
            "The same to the nearest rotation after which the object itself looks almost the same "
            "(IoU of 0.8 or more).",
        ),
        "pose/pair_chance_selfsimilar_deg": _angle(
            "\u2026 by chance", "What the above is where the inferred rotations are random.", ""
        ),
        "pose/class_accuracy": _share(
            "Class told by the rotation",
            "How often the inferred rotation alone gives the class away; at chance the two parts "
            "of the code do not repeat each other.",
            "lower",
        ),
        "pose/class_chance": _share(
            "\u2026 by chance", "What the above is for a useless guess.", ""
        ),
        "pose/continuity": _share(
            "Paths without a jump of the pose",
            "Objects are turned by a full turn in steps of 5\N{DEGREE SIGN}: the share of them "
            "whose inferred rotation is nowhere off by 30\N{DEGREE SIGN} in one step, up to class "
            "symmetry.",
        ),
        "pose/largest_slip_deg": _angle(
            "Largest slip", "Along those turns, the largest error of one step; median over objects."
        ),
    },
    "Canonical frames": {
        "canonical/instance_iou": _share(
            "Canonical IoU of two views",
            "Overlap of the canonical forms of two views of an object: blind to its symmetry. "
            "Resampling alone costs some: turning an object to and fro leaves 0.8 to 0.99. "
            "Objects of which neither form has a voxel left are left out.",
        ),
        "canonical/instance_chamfer": Entry(
            "Chamfer of two views",
            ".4f",
            "",
            "lower",
            "Distance between the surfaces of those canonical forms, in half sides of the grid "
            "(ConDor's instance consistency).",
        ),
        "canonical/category_median_deg": _angle(
            "Frames within a class, median",
            "Angle between the canonical frames of two objects of a class in the source's own "
            "alignment; mean over classes.",
        ),
        "canonical/category_acc30": _share(
            f"Frames within 30{_DEGREE}", "Share of the pairs of a class whose frames agree so far."
        ),
        "canonical/category_median_symmetric_deg": _angle(
            "Frames up to class symmetry", "The median angle, less what the symmetry explains."
        ),
        "canonical/category_median_selfsimilar_deg": _angle(
            "Frames up to self-similarity",
            "The median angle, less what turns explain after which either of the two objects looks "
            "almost the same (IoU of 0.8 or more).",
        ),
        "canonical/category_chance_selfsimilar_deg": _angle(
            "\u2026 by chance",
            "What the above is for frames drawn from the cube's 24 rotations.",
            "",
        ),
        "canonical/category_to_mode_deg": _angle(
            "Frames to the commonest",
            "Angle to the frame that most objects of the class share, up to symmetry; median, "
            "mean over classes.",
        ),
        "canonical/category_to_mode_acc15": _share(
            f"Frames within 15{_DEGREE} of the commonest",
            "Share of a class that shares one frame; mean over classes.",
        ),
        "canonical/category_chamfer": Entry(
            "Chamfer within a class",
            ".4f",
            "",
            "lower",
            "Distance between the canonical surfaces of different objects of a class (ConDor's "
            "category consistency).",
        ),
        "canonical/category_chamfer_aligned": Entry(
            "\u2026 in the source's alignment",
            ".4f",
            "",
            "",
            "What the above is in the alignment that people gave the data.",
        ),
    },
    "Shape code": {
        "latent/nn1_accuracy": _share(
            "Nearest-neighbour accuracy",
            "How often the test object with the nearest code, copies apart, is of the same class, "
            "each seen once.",
        ),
        "latent/linear_probe_accuracy": _share(
            "Linear-probe accuracy",
            "Accuracy of a linear classifier of the codes, learned from training objects.",
        ),
        **{
            f"latent/{kind}_accuracy_{learn}_{ask}": _share(
                f"{title}, {words[learn]} to {words[ask]}",
                f"{title} learned from codes of training objects seen {words[learn]} and asked "
                f"for test objects seen {words[ask]}.",
            )
            for words in [{"so3": "rotated", "aligned": "aligned"}]
            for kind, title in [("nn1", "Nearest neighbour"), ("linear_probe", "Linear probe")]
            for learn, ask in [("aligned", "aligned"), ("aligned", "so3"), ("so3", "so3")]
        },
        "latent/view_distance": _share(
            "Distance of two views",
            "Distance between the codes of two views of an object over the mean distance between "
            "objects: 0 where the code does not depend on the pose.",
            "lower",
        ),
        "latent/rotation_error_deg": _angle(
            "Rotation told by the code",
            "Error of the rotation as a regressor reads it from the shape code: at chance the code "
            "holds no pose. Of classes that are not declared symmetric.",
            "higher",
        ),
        "latent/rotation_chance_deg": _angle(
            "\u2026 by chance", "The error of a useless guess.", ""
        ),
        "latent/continuity": _share(
            "Paths without a jump of the code",
            "Share of the full turns along which the code nowhere goes half the distance between "
            "objects in one step.",
        ),
        "latent/largest_step": _share(
            "Largest step", "That largest step, median over the objects.", "lower"
        ),
    },
    "Disentanglement of class, instance and rotation": {
        "latent/dci_disentanglement": _share(
            "DCI disentanglement",
            "Whether each unit of the code tells of one factor only (Eastwood and Williams 2018).",
        ),
        "latent/dci_completeness": _share(
            "DCI completeness", "Whether each factor is told by one unit only."
        ),
        "latent/dci_informativeness": _share(
            "DCI informativeness",
            "How accurately the factors can be told at all, the class of objects that were not "
            "learned from.",
        ),
        "latent/mig": _share(
            "MIG",
            "Gap of mutual information between the two units that know most of a factor (Chen et "
            "al. 2018).",
        ),
        "latent/sap": _share(
            "SAP",
            "Gap of accuracy between the two units that tell a factor best (Kumar et al. 2018).",
        ),
        "latent/factorvae": _share(
            "FactorVAE score",
            "How often the unit that varies least names the factor that was held fixed (Kim and "
            "Mnih 2018); chance is one over the number of factors.",
        ),
    },
    "Data": {
        "data/test_objects": Entry("Test objects", ".0f", "", "", "That were evaluated."),
        "data/test_duplicates_removed": Entry(
            "Duplicates removed", ".0f", "", "", "Test objects that occur in training, too."
        ),
    },
}
ENTRIES = {name: entry for group in GROUPS.values() for name, entry in group.items()}


def write(name: str, value: float | None) -> str:
    """Returns a metric's value as it is shown; a dash where there is none."""
    if value is None:
        return "\u2013"
    entry = ENTRIES.get(name)
    if entry is None:
        return format(value, ".4g")
    return f"{value:{entry.form}}{entry.unit}"


def entry_of(name: str) -> Entry:
    """Returns a metric's entry; one that is not known is shown by its name."""
    return ENTRIES.get(name) or Entry(name, ".4g", "", "", "")
