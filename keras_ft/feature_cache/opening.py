"""Opens a finished cache, checked against all that is known now."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.data.dataset import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache import forward as forwards
from keras_ft.feature_cache import key as keys
from keras_ft.feature_cache import live_check
from keras_ft.feature_cache.agreement import agreement
from keras_ft.feature_cache.cached_stream import CachedStream
from keras_ft.feature_cache.layout import LOGITS
from keras_ft.feature_cache.layout import Layout
from keras_ft.feature_cache.request import check_data
from keras_ft.feature_cache.request import find_taps
from keras_ft.feature_cache.shard_folder import ShardFolder
from keras_ft.feature_cache.survey import survey
from keras_ft.features.taps import taps as taps_of
from keras_ft.validation.models import check_model


def opened(
    folder: artifacts.PathLike,
    teacher: keras.Model | None,
    data: ImageData,
    asked: keys.Key,
    teacher_digest: str | None,
) -> CachedStream:
    """A finished cache.

    Args:
        folder: Where it is.
        teacher: The live teacher, or `None`.
        data: The data.
        asked: Entries the caller insists on; "taps" by name.
        teacher_digest: Stands for the teacher if there is none.
    """
    check_data(data)
    store = ShardFolder(folder)
    store.read()
    key = store.content["key"]
    keys.check(key, {"format version": keys.FORMAT}, store.where)
    layout = stored_layout(store.content)
    names = asked.pop("taps", None)
    if teacher is not None:
        check_model("teacher", teacher)
        asked |= keys.of_teacher(teacher)
        if names is not None:
            asked["taps"] = [index for index, _ in find_taps(teacher, names)]
    else:
        _check_digest(teacher_digest, key, store.where)
        _check_names(names, layout)
    asked |= keys.of_data(data, survey(data, key["views"]))
    keys.check(key, asked, store.where)
    store.verify()
    _check_complete(store)
    if teacher is None:
        return CachedStream(data, store, layout)
    table = taps_of(teacher)
    taps = [table[index] for index in key["taps"]]
    # Keras numbers the names it gives: today's are the ones to go by.
    found = tuple(tap.name for tap in taps)
    found = (*found, LOGITS) if layout.logits else found
    stream = CachedStream(data, store, dataclasses.replace(layout, names=found))
    near = agreement(layout.dtype, store.content["accelerated"])
    live = forwards.live(teacher, taps, layout.logits)
    live_check.check(stream, live, near)
    return stream


def _check_complete(store: ShardFolder) -> None:
    """Refuses what an interruption left; of a lazy one, takes what is whole."""
    if store.views is None:
        views = itertools.takewhile(
            lambda view: store.is_complete("train", view), itertools.count()
        )
        store.views = len(list(views))
    missing = [s for s in store.plan if s.name not in store.entries]
    if missing or not store.views:
        raise InputError(
            "folder",
            f"{store.folder}, with {len(store.entries)} of "
            f"{len(store.plan)} shards",
            "a finished cache",
            f"Call FeatureCache.{store.maker} again; it continues.",
        )


def digest_of_teacher(key: keys.Key) -> str:
    """One number for the weights and the graph of a key's teacher."""
    names = ("teacher weights", "teacher architecture")
    return keys.digest({name: key[name] for name in names})


def stored_layout(content: dict[str, Any]) -> Layout:
    """The layout a manifest speaks of."""
    fields = content["layout"]
    return Layout(
        names=tuple(fields["names"]),
        shapes=tuple(map(tuple, fields["shapes"])),
        logits=fields["logits"],
        dtype=fields["dtype"],
    )


def _check_digest(digest: str | None, key: keys.Key, where: str) -> None:
    if digest is None:
        raise InputError(
            "teacher",
            None,
            "the teacher, or teacher_digest",
            "Pass teacher_digest=cache.teacher_digest, as it was when the "
            "cache was built or last opened with its teacher.",
        )
    if digest != digest_of_teacher(key):
        raise InputError(
            "teacher_digest",
            digest,
            f"{digest_of_teacher(key)}, with which {where} was built",
            "Build a cache for this teacher in a folder of its own.",
        )


def _check_names(names: Sequence[str | None] | None, layout: Layout) -> None:
    if names is not None and tuple(names) != layout.taps:
        raise InputError(
            "taps",
            names,
            f"{layout.taps}, with which the cache was built",
            "Leave taps out, or build another cache.",
        )
