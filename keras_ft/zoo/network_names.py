"""Know the names of networks without Keras, which takes seconds to import."""

import dataclasses
import difflib
import os
import re
from pathlib import Path

from keras_ft.errors import InputError

WEIGHTS = Path(__file__).parent / "weights"
KERAS, ARRAYS = ".keras", ".npz"
# What Keras 2 wrote. Keras 3 still reads the files; `networks.load` says how
# to convert the folders.
OLD = (".h5", ".hdf5")
SAVED_MODEL = "saved_model.pb"
# What `registry` builds.
ZOO = (
    "resnet8",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "wrn16_1",
    "wrn16_2",
    "wrn40_1",
    "wrn40_2",
    "vgg8",
    "vgg13",
    "mobilenet_v2_small",
)
WIDE_RESNET = re.compile(r"wrn(\d+)_(\d+)")

# How `keras.applications` wants pixels, in the words of its `preprocess_input`:
# "tf" is -1..1, "torch" ImageNet's mean and deviation, "caffe" BGR less the
# mean; "inside" rescales in the network itself.
PREPROCESSING = {
    **dict.fromkeys(
        [
            *(f"ConvNeXt{s}" for s in ("Tiny", "Small", "Base", "Large")),
            "ConvNeXtXLarge",
            *(f"EfficientNetB{n}" for n in range(8)),
            *(f"EfficientNetV2B{n}" for n in range(4)),
            *(f"EfficientNetV2{size}" for size in "SML"),
            "MobileNetV3Large",
            "MobileNetV3Small",
        ],
        "inside",
    ),
    **dict.fromkeys(
        [
            "InceptionResNetV2",
            "InceptionV3",
            "MobileNet",
            "MobileNetV2",
            "NASNetLarge",
            "NASNetMobile",
            *(f"ResNet{n}V2" for n in (50, 101, 152)),
            "Xception",
        ],
        "tf",
    ),
    **dict.fromkeys([f"DenseNet{n}" for n in (121, 169, 201)], "torch"),
    **dict.fromkeys(
        ["ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19"], "caffe"
    ),
}
# Widths for which `keras.applications` has weights.
ALPHAS = {
    "MobileNet": (0.25, 0.5, 0.75, 1.0),
    "MobileNetV2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    "MobileNetV3Large": (0.75, 1.0),
    "MobileNetV3Small": (0.75, 1.0),
}
_BY_LOWER = {name.lower(): name for name in PREPROCESSING}
_WIDTH = re.compile(r"(.+)_(\d+(?:\.\d+)?)")


@dataclasses.dataclass(frozen=True)
class Backbone:
    """Name a network of `keras.applications`.

    Attributes:
        name: The constructor's.
        alpha: Its width, `None` for the usual one.
    """

    name: str
    alpha: float | None = None


def backbone(source: str, argument: str = "name") -> Backbone | None:
    """Return the network of `keras.applications` that a name means.

    Args:
        source: Its constructor's name in any case, as in "MobileNetV2"; the
            width of a MobileNet may follow, as in "MobileNetV2_0.35".
        argument: What an error calls it.

    Returns:
        It; `None` if the name means something else.

    Raises:
        InputError: There are no weights of this width.
    """
    name = _BY_LOWER.get(source.lower())
    if name is not None:
        return Backbone(name)
    width = _WIDTH.fullmatch(source.lower())
    name = _BY_LOWER.get(width[1]) if width else None
    if width is None or name not in ALPHAS:
        return None
    alpha = float(width[2])
    if alpha not in ALPHAS[name]:
        known = [f"{name}_{alpha:g}" for alpha in ALPHAS[name]]
        raise InputError(
            argument,
            repr(source),
            f"one of {', '.join(known)}",
            "These are the widths with weights of ImageNet.",
        )
    return Backbone(name, alpha)


def shipped(weights_dir: Path = WEIGHTS) -> list[str]:
    """List the trained networks that come along."""
    return sorted(file.stem for file in Path(weights_dir).glob("*.json"))


def is_name(argument: str, source: str) -> bool:
    """Return whether this is the name of a network that a run can use.

    Args:
        argument: "teacher", "student" or "network", that is to be trained.
        source: What the user wrote.
    """
    if backbone(source, argument) is not None:
        return True
    if argument == "teacher":
        return source in shipped()
    return source in ZOO or WIDE_RESNET.fullmatch(source) is not None


def is_path(source: str) -> bool:
    """Return whether this means a file or folder, be it there or not."""
    path = Path(source)
    known = path.suffix in (KERAS, ARRAYS, *OLD) or len(path.parts) > 1
    # A name may be longer than that of any file.
    return known or os.path.exists(path)


def check(argument: str, source: str, missing_ok: bool = False) -> None:
    """Refuse what is neither the name of a network nor a file of one.

    Args:
        argument: "teacher", "student" or "network", that is to be trained.
        source: What the user wrote.
        missing_ok: Whether a file need not be there, as a finished run has a
            copy.

    Raises:
        InputError: It is neither; the message has names that are near.
    """
    if is_name(argument, source):
        return
    if argument != "network" and is_path(source):
        _check_file(argument, Path(source), missing_ok)
        return
    known = [*ZOO] if argument != "teacher" else shipped()
    known += PREPROCESSING
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(source.lower(), lower, n=3)
    files = {
        "teacher": "a .keras file, a run folder, the arrays (.npz) of a "
        "PyTorch ResNet, ",
        "student": "a .keras file, ",
    }.get(argument, "")
    own = ", ".join(shipped() if argument == "teacher" else ZOO)
    raise InputError(
        argument,
        repr(source),
        f"{files}{own}, or a name of keras.applications such as MobileNetV2",
        f"Did you mean {' or '.join(lower[name] for name in near)}?"
        if near
        else "Check the spelling.",
    )


def _check_file(argument: str, path: Path, missing_ok: bool) -> None:
    if not os.path.exists(path):
        if missing_ok:
            return
        raise InputError(
            argument,
            path,
            f"an existing {path.suffix} file"
            if path.suffix
            else "an existing run folder or file",
            "Check the spelling.",
        )
    kinds: tuple[str, ...] = (KERAS,)
    folder = False
    if argument == "teacher":
        kinds = (KERAS, *OLD, ARRAYS)
        inside = ("run.json", SAVED_MODEL)
        folder = any((path / name).is_file() for name in inside)
    if not folder and (path.suffix not in kinds or not path.is_file()):
        raise InputError(
            argument,
            path,
            f"a {', '.join(kinds)} file"
            + (" or a run folder" if argument == "teacher" else ""),
            "Save the network with model.save('name.keras') of Keras 3.",
        )
