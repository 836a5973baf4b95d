"""What a cache is asked to hold, checked before anything is computed."""

import os
from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.acceleration.acceleration import check_choice
from keras_ft.data.dataset import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache import forward as forwards
from keras_ft.feature_cache import key as keys
from keras_ft.feature_cache import shard as shards
from keras_ft.feature_cache import stand_in
from keras_ft.feature_cache.agreement import Agreement
from keras_ft.feature_cache.agreement import agreement
from keras_ft.feature_cache.layout import BYTES
from keras_ft.feature_cache.layout import LOGITS
from keras_ft.feature_cache.layout import Layout
from keras_ft.feature_cache.survey import survey
from keras_ft.features.taps import Tap
from keras_ft.features.taps import find_tap
from keras_ft.features.taps import taps as taps_of
from keras_ft.validation import data as data_checks
from keras_ft.validation.models import check_finite
from keras_ft.validation.models import check_model


class Request:
    """Teacher, data and form of a cache.

    Args: See `FeatureCache.build`; `views` is None for no limit, and the
        plan then holds the first one.

    Raises:
        InputError: One of them cannot be used.
    """

    def __init__(
        self,
        teacher: keras.Model,
        data: ImageData,
        taps: Sequence[str | None],
        logits: bool,
        views: int | None,
        dtype: str,
        forward: forwards.Forward | None,
        acceleration: str,
    ) -> None:
        _check(teacher, data, views, dtype)
        check_choice(acceleration)
        self.data = data
        self.views = views
        found = find_taps(teacher, taps)
        if not found and not logits:
            raise InputError(
                "taps", taps, "a tap, or logits=True", "Use taps=(None,)."
            )
        self.survey = survey(data, views)
        images, _ = self.survey.batches[0]
        chosen = [tap for _, tap in found]
        self.live = forwards.live(teacher, chosen, logits)
        self.how = "as a function of yours"
        if forward is None:
            forward, self.how = forwards.chosen(
                self.live, teacher, chosen, logits, acceleration, dtype, images
            )
        self.accelerated = forward is not None
        self.forward = forward or self.live
        names = tuple(tap.name for _, tap in found)
        self.layout = Layout(
            names=(*names, LOGITS) if logits else names,
            shapes=forwards.shapes(self.live, images),
            logits=bool(logits),
            dtype=dtype,
        )
        self.compress = self.layout.compressor()
        self.template = shards.template(self.layout, self.survey.sizes)
        self.plan = shards.plan(self.template, views or 1)
        self.outline = stand_in.outline(teacher)
        self.key: keys.Key = {
            **keys.of_form(dtype, views, logits, [index for index, _ in found]),
            **keys.of_teacher(teacher),
            **keys.of_data(data, self.survey),
        }

    @property
    def bytes(self) -> int:
        """What all planned shards take."""
        return sum(shard.bytes(self.layout) for shard in self.plan)

    @property
    def agreement(self) -> Agreement:
        """How near the cache must be to the live teacher."""
        return agreement(self.layout.dtype, self.accelerated)

    def content(self) -> dict[str, Any]:
        """What the manifest says beside the finished shards."""
        return {
            "key": self.key,
            "layout": vars(self.layout),
            "accelerated": self.accelerated,
            "template": [vars(shard) for shard in self.template],
            "teacher": self.outline,
        }

    def check_views(self) -> None:
        """Refuses a cache without limit, which cannot be built at once."""
        if self.views is None:
            raise InputError(
                "views",
                None,
                "a whole number of at least 1",
                "Use FeatureCache.lazy, which has a view for every epoch.",
            )

    def check_memory(self) -> None:
        """Refuses what the machine cannot hold, before it is computed."""
        have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if self.bytes > have:
            raise InputError(
                "folder",
                f"None, for a cache of {self.bytes:,} bytes",
                f"at most the {have:,} bytes of memory there are",
                "Name a folder, or use fewer views or dtype='int8'.",
            )


def _check(teacher: Any, data: Any, views: Any, dtype: Any) -> None:
    check_data(data)
    check_model("teacher", teacher)
    check_finite("teacher", teacher)
    data_checks.check_data(teacher, data.validation)
    if dtype not in BYTES:
        raise InputError(
            "dtype", dtype, f"one of {', '.join(BYTES)}", "Use 'float16'."
        )
    number = isinstance(views, int) and not isinstance(views, bool)
    if views is not None and not (number and views >= 1):
        raise InputError(
            "views", views, "a whole number of at least 1", "Use views=8."
        )


def check_data(data: Any) -> None:
    """Refuses data whose batches are not known to be repeatable."""
    if not isinstance(data, ImageData):
        raise InputError(
            "data",
            f"a {type(data).__name__}",
            "what keras_ft.data.load returns",
            "A cache needs batches that are a function of seed and epoch.",
        )


def find_taps(
    teacher: keras.Model, taps: Sequence[str | None]
) -> list[tuple[int, Tap]]:
    """Place in the teacher and tap, for each name."""
    if isinstance(taps, str):
        raise InputError(
            "taps", repr(taps), "a sequence of names", f"Use ({taps!r},)."
        )
    table = taps_of(teacher)
    found = []
    for name in taps:
        tap = find_tap(teacher, name, "taps")
        index = next(i for i, t in enumerate(table) if t.tensor is tap.tensor)
        found.append((index, tap))
    if len({index for index, _ in found}) < len(found):
        raise InputError(
            "taps", taps, "every tap once", "Leave the repeated one out."
        )
    return found
