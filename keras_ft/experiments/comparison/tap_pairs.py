"""Which feature map of the teacher is compared with which of the student."""

import re
from dataclasses import dataclass

import keras

from keras_ft.errors import InputError
from keras_ft.experiments.comparison.method import Method
from keras_ft.features.taps import Tap
from keras_ft.features.taps import find_tap
from keras_ft.features.taps import taps as taps_of

Pair = tuple[Tap, Tap]
_STAGE = re.compile(r"stage\d+")


@dataclass(frozen=True)
class TapPairs:
    """The pairs (teacher, student) that the methods compare.

    Attributes:
        pairs: By name: `factor`, `hint`, and `attention_1`, `attention_2`,
            ... from the first to the last; only those that are wanted.

    Example:

    >>> found = TapPairs.of(teacher, student, [Method.parse("at")])
    >>> [student.name for _, student in found.pairs.values()]
    ['stage1', 'stage2', 'stage3']
    """

    pairs: dict[str, Pair]

    @classmethod
    def of(
        cls,
        teacher: keras.Model,
        student: keras.Model,
        methods: tuple[Method, ...],
        teacher_layer: str | None = None,
        student_layer: str | None = None,
    ) -> "TapPairs":
        """Finds what some methods need.

        Factors are taken from the layers that are named. Attention maps are
        compared after every stage, the hint after the middle one. Stages are
        the layers called `stage1`, `stage2`, ..., as in the zoo, or else the
        last map of each size; those of equal size make a pair.

        Raises:
            InputError: There is no such layer, or no size in common.
        """
        wanted = {part for method in methods for part in method.parts}
        pairs: dict[str, Pair] = {}
        if "ft" in wanted:
            pairs["factor"] = (
                find_tap(teacher, teacher_layer, "teacher_layer"),
                find_tap(student, student_layer, "student_layer"),
            )
        if wanted & {"at", "fitnet"}:
            stages = _stages(teacher, student)
            if "fitnet" in wanted:
                pairs["hint"] = stages[len(stages) // 2]
            if "at" in wanted:
                pairs |= {
                    f"attention_{number}": pair
                    for number, pair in enumerate(stages, 1)
                }
        return cls(pairs)


def _stages(teacher: keras.Model, student: keras.Model) -> list[Pair]:
    theirs, ours = _last_of_each_size(teacher), _last_of_each_size(student)
    pairs = [(theirs[size], ours[size]) for size in theirs if size in ours]
    if not pairs:
        raise InputError(
            "methods",
            f"at or fitnet for maps of {_sizes(theirs)} in the teacher and "
            f"{_sizes(ours)} in the student",
            "a size (height x width) that both have",
            "Leave them out, or use another student.",
        )
    return pairs


def _last_of_each_size(model: keras.Model) -> dict[tuple[int, int], Tap]:
    taps = taps_of(model)
    named = [tap for tap in taps if _STAGE.fullmatch(tap.name)]
    # Padding makes a size of its own, which is no stage.
    others = [tap for tap in taps if tap.layer != "ZeroPadding2D"]
    found: dict[tuple[int, int], Tap] = {}
    for tap in named or others:
        height, width = tap.shape[:2]
        if height is not None and width is not None and height * width > 1:
            found[height, width] = tap
    return found


def _sizes(found: dict[tuple[int, int], Tap]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in found)
