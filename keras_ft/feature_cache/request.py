"""The request: what a cache is to hold, checked, and its rows computed."""

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ft.acceleration.acceleration import check_choice
from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache import cached_teacher
from keras_ft.feature_cache import key as keys
from keras_ft.feature_cache.rows import DTYPES
from keras_ft.feature_cache.rows import LOGITS
from keras_ft.feature_cache.rows import Errors
from keras_ft.feature_cache.rows import RowFormat
from keras_ft.feature_cache.teacher_pass import Agreement
from keras_ft.feature_cache.teacher_pass import Forward
from keras_ft.feature_cache.teacher_pass import agreement
from keras_ft.feature_cache.teacher_pass import folded_teacher
from keras_ft.feature_cache.teacher_pass import live_teacher
from keras_ft.features.taps import Tap
from keras_ft.features.taps import find_tap
from keras_ft.features.taps import taps as taps_of
from keras_ft.validation import data as data_checks
from keras_ft.validation.models import check_finite
from keras_ft.validation.models import check_model
from keras_ft.validation.parameters import Interval
from keras_ft.validation.parameters import OneOf

VIEWS = Interval(
    int, 1, fix="Use views=8, or FeatureCache.lazy for a view per epoch."
)
DTYPE = OneOf(DTYPES, fix="Use 'float16'.")
_TIMED_BATCHES = 3


class Request:
    """Teacher, data and form of a cache.

    Args: See `FeatureCache.build`; `views` is None for no limit, and one view
        is planned then.

    Attributes:
        key: Everything the cache depends on.
        format: Of its rows.
        rows: How many a view of each split has.
        live: The teacher itself.
        accelerated: Whether something faster computes in its place.
        how: How the teacher runs, for people.

    Raises:
        InputError: One of them cannot be used.
    """

    def __init__(
        self,
        teacher: keras.Model,
        data: ImageData,
        taps: Sequence[str | None] = (None,),
        logits: bool = False,
        views: int | None = 8,
        dtype: str = "float16",
        forward: Forward | None = None,
        acceleration: str = "auto",
    ) -> None:
        _check(teacher, data, views, dtype)
        check_choice(acceleration)
        self.data = data
        self.views = views
        found = find_taps(teacher, taps)
        if not found and not logits:
            raise InputError(
                "A cache needs a tap in `taps`, or logits=True. Use (None,)."
            )
        self._batches = keys.first_batches(data, views)
        images = self._batches[0][0]
        chosen = [tap for _, tap in found]
        self.live = live_teacher(teacher, chosen, logits)
        self.how = "as a function of yours"
        if forward is None:
            forward, self.how = folded_teacher(
                self.live, teacher, chosen, logits, acceleration, dtype, images
            )
        self.accelerated = forward is not None
        self._forward = forward or self.live
        names = tuple(tap.name for tap in chosen)
        outputs = self.live(images[:1])
        self.format = RowFormat(
            names=(*names, LOGITS) if logits else names,
            shapes=tuple(tuple(value.shape[1:]) for value in outputs),
            logits=bool(logits),
            dtype=dtype,
        )
        self._compress = self.format.compressor()
        self.rows = keys.rows_of(data)
        self._outline = cached_teacher.outline(teacher)
        self.key: keys.Key = {
            **keys.of_form(dtype, views, logits, [index for index, _ in found]),
            **keys.of_teacher(teacher),
            **keys.of_data(data, self._batches),
        }

    @property
    def agreement(self) -> Agreement:
        """Return how near the cache must be to the live teacher."""
        return agreement(self.format.dtype, self.accelerated)

    @property
    def planned_rows(self) -> int:
        """Return how many rows all views have together."""
        others = self.rows["validation"] + self.rows["test"]
        return (self.views or 1) * self.rows["train"] + others

    @property
    def bytes(self) -> int:
        """Return what all rows take."""
        return self.planned_rows * self.format.row.itemsize

    def seconds(self) -> float:
        """Return how long all rows will take, from the time of four batches."""
        batches = itertools.cycle(self._batches)
        self.compute(*next(batches)[::2])
        started = time.perf_counter()
        for images, _, numbers, _ in itertools.islice(batches, _TIMED_BATCHES):
            self.compute(images, numbers)
        seconds = (time.perf_counter() - started) / _TIMED_BATCHES
        passes = [*["train"] * (self.views or 1), "validation", "test"]
        size = self.data.batch_size
        return seconds * sum(-(-self.rows[split] // size) for split in passes)

    def describe(self) -> str:
        """Return one sentence on bytes and minutes."""
        names = ", ".join(self.format.names)
        what = (
            f"{self.planned_rows:,} rows of {names} as {self.format.dtype}: "
            f"{self.bytes:,} bytes, about {self.seconds() / 60:.1f} minutes; "
            f"the teacher runs {self.how}"
        )
        if self.views is None:
            return (
                "feature cache: a view for every epoch; the first with "
                f"validation and test, {what}"
            )
        return f"feature cache: {self.views} views, {what}"

    def compute(self, images: Any, numbers: Any) -> tuple[np.ndarray, Errors]:
        """Return the rows of a batch, and what storing costs.

        Raises:
            InputError: The teacher's outputs are not finite, or the dtype
                cannot hold them.
        """
        outputs = [
            tf.cast(tf.convert_to_tensor(output), tf.float32)
            for output in self._forward(images)
        ]
        stored, errors = self._compress(*outputs)
        found: Errors = errors.numpy().tolist()
        self._check_errors(found)
        rows = self.format.pack(
            np.asarray(numbers), [part.numpy() for part in stored]
        )
        return rows, found

    def content(self) -> dict[str, Any]:
        """Return what the manifest says beside the finished blocks."""
        return {
            "key": self.key,
            "format": dataclasses.asdict(self.format),
            "images": {
                split: self.data.number_bound(split) for split in self.rows
            },
            "rows": self.rows,
            "accelerated": self.accelerated,
            "teacher": self._outline,
        }

    def check_memory(self) -> None:
        """Refuse what the machine cannot hold, before it is computed."""
        have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if self.bytes > have:
            raise InputError(
                f"A cache of {self.bytes:,} bytes does not fit in the {have:,} "
                "bytes of memory. Name a folder, or use fewer views or "
                "dtype='int8'."
            )

    def _check_errors(self, errors: Errors) -> None:
        dtype = self.format.dtype
        limit = agreement(dtype, accelerated=False).row
        for name, error in zip(self.format.names, errors, strict=True):
            absolute, _, cosine = error
            if math.isnan(absolute):
                raise InputError(
                    f"The teacher returns NaN or infinity in its '{name}'. "
                    "Look for broken images or weights."
                )
            if math.isinf(absolute):
                raise InputError(
                    f"{dtype} is too small for the values of '{name}'. Use "
                    "dtype='float32'."
                )
            if cosine < limit:
                raise InputError(
                    f"{dtype} keeps '{name}' at a cosine of {cosine:.5f} only, "
                    f"below {limit}. Use dtype='float32'."
                )


def _check(teacher: Any, data: Any, views: Any, dtype: Any) -> None:
    check_data(data)
    check_model("teacher", teacher)
    check_finite("teacher", teacher)
    data_checks.check_data(teacher, data.validation)
    DTYPE.check("dtype", dtype)
    if views is not None:
        VIEWS.check("views", views)


def check_data(data: Any) -> None:
    """Refuse data whose batches are not known to be repeatable."""
    if not isinstance(data, ImageData):
        raise InputError(
            f"`data` is a {type(data).__name__}. A cache needs what "
            "keras_ft.data.load returns: batches that are a function of seed "
            "and epoch."
        )


def find_taps(
    teacher: keras.Model, taps: Sequence[str | None]
) -> list[tuple[int, Tap]]:
    """Return each tap with its place in the teacher."""
    if isinstance(taps, str):
        raise InputError(f"`taps` is a sequence of names: use ({taps!r},).")
    table = taps_of(teacher)
    found = []
    for name in taps:
        tap = find_tap(teacher, name, "taps")
        index = next(i for i, t in enumerate(table) if t.tensor is tap.tensor)
        found.append((index, tap))
    if len({index for index, _ in found}) < len(found):
        raise InputError(f"`taps` names a feature map twice: {taps}.")
    return found
