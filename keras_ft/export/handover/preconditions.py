"""What must hold before a folder is begun."""

import re
from collections.abc import Sequence
from pathlib import Path

from keras_ft.errors import InputError
from keras_ft.export.handover.whole_folder import check_folder
from keras_ft.export.metadata import COLORS

CARD = "model_card.json"
# Hard keywords: no part of a package's name without backticks.
_KOTLIN = frozenset(
    "as break class continue do else false for fun if in interface is null "
    "object package return super this throw true try typealias typeof val var "
    "when while".split()
)


def check_handover(
    folder: Path,
    package: str,
    quantization: str,
    fallback: str | None,
    class_names: Sequence[str] | None,
    input_shape: tuple[int, ...],
    golden: int,
) -> None:
    """Refuse what no folder can be made of.

    What a `.tflite` file alone needs is checked by `to_tflite`.

    Raises:
        InputError: See `bundle`.

    Example:

    >>> check_handover(
    ...     Path("handover"), "org.example", "int8", None, ("cat", "cup"),
    ...     (32, 32, 3), 10)
    """
    check_folder(folder, CARD)
    words = package.split(".")
    if not all(re.fullmatch(r"[A-Za-z_]\w*", word, re.A) for word in words) or (
        _KOTLIN & {*words}
    ):
        raise InputError(
            "package",
            repr(package),
            "a Kotlin package, words joined by dots",
            'Use for example package="com.example.classifier".',
        )
    if "int8_io" in (quantization, fallback):
        raise InputError(
            "quantization",
            "'int8_io'",
            "a file that takes float32",
            'Use quantization="int8": LiteRT\'s Kotlin API has no uint8.',
        )
    if class_names is None:
        raise InputError(
            "class_names",
            None,
            "one name per class",
            "Pass data.class_names of the data the student was trained on.",
        )
    if input_shape[-1] not in COLORS:
        raise InputError(
            "student",
            f"images of {input_shape[-1]} channels",
            "1 or 3 channels, grey or RGB, as an Android Bitmap has",
            "Export it with to_tflite, which takes any number of channels.",
        )
    if golden < 1:
        raise InputError("golden", golden, "1 or more", "Use golden=10.")
