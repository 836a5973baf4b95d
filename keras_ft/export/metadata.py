"""What a `.tflite` file says about itself."""

import dataclasses
from collections.abc import Sequence

from keras_ft.errors import InputError

COLORS = (1, 3)  # Channels that metadata knows: grey, RGB.


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What is said about an image classifier.

    Args:
        name: Of the model.
        description: What it tells apart.
        class_names: One per output, in order; the file's `labels.txt`.
        input_shape: (H, W, C) of an image; C is 3 (RGB) or 1 (grey).
        version: Of the model.
        author: Who made it.
        license: What one may do with it.

    Raises:
        InputError: Another number of channels; a class name with a line break,
            or none.

    Example:

    >>> Metadata("shoes", "Kinds of shoes.", ("boot", "pump"), (32, 32, 3))
    Metadata(name='shoes', ...)
    """

    name: str
    description: str
    class_names: Sequence[str]
    input_shape: tuple[int, ...]
    version: str = ""
    author: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        if self.input_shape[-1] not in COLORS:
            raise InputError(
                "input_shape",
                self.input_shape,
                "1 or 3 channels, grey or RGB",
                "Images of other kinds have no metadata; leave it out.",
            )
        broken = [
            x for x in self.class_names if not x or len(x.split("\n")) > 1
        ]
        if broken or not self.class_names:
            raise InputError(
                "class_names",
                broken or self.class_names,
                "names of one line each",
                "labels.txt has one line per class.",
            )
