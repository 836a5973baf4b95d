"""What is told about a student that the file itself cannot tell."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Where a student comes from and what one may do with it.

    Everything may be left out; the card then says that it is not stated. What
    can be measured is measured by `bundle` and is no part of this.

    Args:
        name: Of the model; by default the student's name.
        description: One sentence on what it is for.
        author: Who made it.
        license: What one may do with it, such as `"Apache-2.0"`.
        version: Of the model.
        data: What it was trained on.
        tested_on: Where the samples come from that it is measured on, such
            as `"from the 10,000 test images of CIFAR-10"`.
        teacher: What it learnt from.
        student: What kind of network it is.
        method: How it learnt.
        settings: Settings of its training, by name.
        accuracies: Top-1 accuracies, 0..1, of other networks to compare it
            with, by name, such as `{"teacher": 0.93}`.
        notes: Sentences one must know before quoting a number.

    Example:

    >>> card = keras_ft.export.ModelCard(author="Ann", license="MIT")
    >>> card.license
    'MIT'
    """

    name: str = ""
    description: str = ""
    author: str = ""
    license: str = ""
    version: str = ""
    data: str = ""
    tested_on: str = ""
    teacher: str = ""
    student: str = ""
    method: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    accuracies: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
