"""What the students of one seed learn from: batches, and the teacher's word."""

import contextlib
import hashlib
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import keras

from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.experiments.comparison.outlets import outlet
from keras_ft.experiments.comparison.outlets import with_outlets
from keras_ft.experiments.comparison.tap_pairs import TapPairs
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.teacher_source import FOLDER
from keras_ft.feature_cache import FeatureCache

if TYPE_CHECKING:
    from keras_ft.experiments.comparison.plan import Plan

TEACHER_PASSES = ("auto", "cache", "live")
# More is not kept on disk without being asked for.
_LIMIT = 32 * 2**30
_BYTES = 2  # of a float16


class TeacherOutputs:
    """Computes the teacher's outputs once per seed, for all methods.

    Every seed has epochs of its own: order and augmentation differ between
    seeds and are the same for all methods. So one pass of the teacher per
    seed serves all methods and phase 1.

    Args:
        plan: What was asked for. Its `teacher_pass` is `"cache"`, which keeps
            outputs on disk; `"live"`, which runs the (folded) teacher in
            every training; or `"auto"`, a cache if there is room.
        teacher: As it was trained.
        data: The images.
        pairs: Which of the teacher's feature maps are wanted.
        echo: Takes lines of progress.

    Attributes:
        teacher: The same, with an outlet for each of the feature maps.

    Example:

    >>> outputs = TeacherOutputs(plan, teacher, data, pairs, print)
    >>> batches, teacher = outputs.batches(seed=0)
    """

    def __init__(
        self,
        plan: "Plan",
        teacher: keras.Model,
        data: ImageData,
        pairs: TapPairs,
        echo: Echo,
    ) -> None:
        self._plan = plan
        self._data = data
        self._names = [outlet(name) for name in pairs.pairs]
        taps = {name: pair[0] for name, pair in pairs.pairs.items()}
        self.teacher = with_outlets(teacher, taps)
        self._logits = any(method.has("kd") for method in plan.methods)
        self._echo = echo
        self._made: dict[int, tuple[Any, keras.Model]] = {}

    def choice(self) -> str:
        """`"cache"` or `"live"`, with one sentence on why."""
        if self._plan.teacher_pass != "auto":
            return self._plan.teacher_pass
        free = shutil.disk_usage(self._plan.path).free
        size = self.bytes
        if size is not None and size <= min(_LIMIT, free // 2):
            return "cache"
        why = (
            "may be of any size"
            if size is None
            else f"would take {size:,} bytes per seed"
        )
        self._echo(f"teacher: runs in every training, as its outputs {why}")
        return "live"

    @property
    def bytes(self) -> int | None:
        """Of the cache of one seed, without its labels.

        `None` for a teacher of images of any size.
        """
        sizes, teacher = self._data.sizes, self.teacher
        rows = self._plan.epochs * sizes["train"] + sizes["validation"]
        outputs = [teacher.get_layer(name).output for name in self._names]
        outputs += [teacher.output] * self._logits
        if any(None in output.shape[1:] for output in outputs):
            return None
        numbers = sum(math.prod(output.shape[1:]) for output in outputs)
        return _BYTES * numbers * (rows + sizes["test"])

    def data(self, seed: int) -> ImageData:
        """The images in the order and augmentation of a seed."""
        return self._data.starting_at(seed * self._plan.epochs)

    def batches(self, seed: int) -> tuple[Any, keras.Model]:
        """What to train on, and the teacher to train with.

        Raises:
            InputError: See `FeatureCache.build`.
        """
        if seed not in self._made:
            # One at a time: it may be in memory in part.
            self._made = {seed: self._make(seed)}
        return self._made[seed]

    def forget(self, seed: int) -> None:
        """Removes what was kept for a seed."""
        self._made.pop(seed, None)
        parent = self._plan.path / FOLDER
        # Those for other methods as well: a comparison may have grown.
        for folder in parent.glob(f"seed{seed}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # Another seed's is still there.
            parent.rmdir()

    def _make(self, seed: int) -> tuple[Any, keras.Model]:
        data = self.data(seed)
        if self._plan.teacher_pass == "live":
            return data, self.teacher
        cache = FeatureCache.build(
            self._folder(seed),
            self.teacher,
            data,
            taps=self._names,
            logits=self._logits,
            views=self._plan.epochs,
            acceleration=self._plan.settings.acceleration,
            echo=lambda line: self._echo(f"seed {seed}: {line}"),
        )
        return cache, cache.teacher

    def _folder(self, seed: int) -> Path:
        # What is kept depends on the methods, and more of them may follow.
        kept = "-".join([*self._names, *["logits"] * self._logits])
        digest = hashlib.sha256(kept.encode()).hexdigest()[:8]
        return self._plan.path / FOLDER / f"seed{seed}-{digest}"


def check_choice(choice: str) -> None:
    """Refuses an unknown way to run the teacher."""
    if choice not in TEACHER_PASSES:
        raise InputError(
            "teacher_pass",
            repr(choice),
            f"one of {', '.join(TEACHER_PASSES)}",
            "Use 'auto'.",
        )
