"""Build, continue and open caches: what is there is checked, then used."""

import dataclasses
import itertools
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
import tqdm

from keras_ft import artifacts
from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache import key as keys
from keras_ft.feature_cache import request as requests
from keras_ft.feature_cache.cached_batches import CachedBatches
from keras_ft.feature_cache.cached_batches import LazyBatches
from keras_ft.feature_cache.request import Request
from keras_ft.feature_cache.rows import LOGITS
from keras_ft.feature_cache.rows import MEASURES
from keras_ft.feature_cache.rows import RowFormat
from keras_ft.feature_cache.store import SPLITS
from keras_ft.feature_cache.store import FolderStore
from keras_ft.feature_cache.store import Store
from keras_ft.feature_cache.store import View
from keras_ft.feature_cache.teacher_pass import agreement
from keras_ft.feature_cache.teacher_pass import live_teacher
from keras_ft.features.taps import taps as taps_of
from keras_ft.validation.models import check_model

Echo = Callable[[str], None]
PARTS = 10


def build(
    folder: artifacts.PathLike | None, request: Request, echo: Echo | None
) -> CachedBatches:
    """Compute what a cache does not have yet; see `FeatureCache.build`."""
    requests.VIEWS.check("views", request.views)
    if folder is None:
        request.check_memory()
        held = Store()
        held.start(request.content())
        _fill(held, request, echo)
        return _checked(held, request, echo)
    store = FolderStore(folder)
    with store.locked():
        _begin_or_continue(store, request)
        _fill(store, request, echo)
        return _checked(store, request, echo)


def lazy(
    folder: artifacts.PathLike, request: Request, echo: Echo | None
) -> CachedBatches:
    """Return batches that compute what is missing; see `FeatureCache.lazy`."""
    store = FolderStore(folder)
    with store.locked(wait=True):
        _begin_or_continue(store, request)
        rows = sum(entry["rows"] for entry in store.blocks.values())
        if not rows:
            store.check_room(request.bytes)
        store.content["accelerated"] |= request.accelerated
    if rows:
        _say(f"feature cache: {rows:,} rows are there", echo)
    else:
        _say(request.describe(), echo)
    batches = LazyBatches(request, store)
    _compare(batches, request)
    return batches


def open_finished(
    folder: artifacts.PathLike,
    teacher: keras.Model | None,
    data: ImageData,
    asked: keys.Key,
    digest: str | None,
) -> CachedBatches:
    """Return a finished cache; see `FeatureCache.open`.

    Args:
        folder: Where it is.
        teacher: The live teacher, or `None`.
        data: The data.
        asked: Entries the caller insists on; "taps" by name.
        digest: Stands for the teacher if there is none.
    """
    requests.check_data(data)
    store = FolderStore(folder)
    store.load()
    key = store.content["key"]
    keys.check(key, {"format version": keys.FORMAT}, store.where)
    names = asked.pop("taps", None)
    if teacher is not None:
        check_model("teacher", teacher)
        asked |= keys.of_teacher(teacher)
        if names is not None:
            asked["taps"] = [i for i, _ in requests.find_taps(teacher, names)]
    else:
        _check_digest(digest, key, store.where)
        _check_names(names, store.format)
    batches = keys.first_batches(data, key["views"])
    keys.check(key, asked | keys.of_data(data, batches), store.where)
    store.check_sizes(data)
    store.verify()
    opened = CachedBatches(data, store, _complete_views(store))
    if teacher is not None:
        table = taps_of(teacher)
        taps = [table[index] for index in key["taps"]]
        # Keras numbers the names it gives: today's are the ones to go by.
        todays = [tap.name for tap in taps] + [LOGITS] * opened.format.logits
        opened.format = dataclasses.replace(opened.format, names=tuple(todays))
        opened.check_random_batches(
            live_teacher(teacher, taps, opened.format.logits),
            agreement(opened.format.dtype, store.content["accelerated"]),
        )
    return opened


def _begin_or_continue(store: FolderStore, request: Request) -> None:
    if not store.exists():
        store.start(request.content())
        return
    store.load()
    keys.check(store.content["key"], request.key, store.where)
    store.check_sizes(request.data)
    store.forget_deleted()
    store.verify()


def _fill(store: Store, request: Request, echo: Echo | None) -> None:
    """Compute the rows that the store does not have."""
    size = request.data.batch_size
    missing = {
        (split, number): request.rows[split] - store.count((split, number))
        for split in SPLITS
        for number in range((request.views or 1) if split == "train" else 1)
    }
    rows = sum(missing.values())
    if not rows:
        return
    # Another process may have begun without a folded teacher.
    store.content["accelerated"] |= request.accelerated
    _say(request.describe(), echo)
    if rows < request.planned_rows:
        _say(
            f"feature cache: {request.planned_rows - rows:,} of "
            f"{request.planned_rows:,} rows were computed before",
            echo,
        )
    if isinstance(store, FolderStore):
        store.check_room(rows * request.format.row.itemsize)
    total = sum(-(-count // size) for count in missing.values())
    batches = _missing_batches(store, request.data, missing)
    for view, images, numbers in _with_progress(batches, total, echo):
        store.add(view, *request.compute(images, numbers))
    for view in missing:
        if not store.is_complete(view):
            raise InputError(
                f"The data changed while it was read: {store.count(view)} "
                f"different images came in {view[0]}, not "
                f"{request.rows[view[0]]}. Load it again."
            )


def _missing_batches(
    store: Store, data: ImageData, missing: Mapping[View, int]
) -> Any:
    """Yield view, images and numbers of batches that are not stored."""
    for split in SPLITS:
        views = [
            number
            for (part, number), count in missing.items()
            if part == split and count
        ]
        if not views:
            continue
        epochs = tf.data.Dataset.from_tensor_slices(
            tf.constant(views, tf.int64)
        )
        for images, _, numbers, number in data.numbered(split, epochs):
            view, found = (split, int(number)), numbers.numpy()
            if not store.has(view, found).all():
                yield view, images, found


def _checked(
    store: Store, request: Request, echo: Echo | None
) -> CachedBatches:
    batches = CachedBatches(request.data, store, request.views)
    _compare(batches, request)
    parts = [
        f"{name} within {error['relative']:.2%} of a row's length, cosine at "
        f"least {error['cosine']:.6f}"
        for name, error in errors(batches).items()
    ]
    dtype = request.format.dtype
    _say(f"feature cache: {dtype} keeps {'; '.join(parts)}", echo)
    return batches


def _compare(batches: CachedBatches, request: Request) -> None:
    accelerated = batches.store.content["accelerated"]
    near = agreement(request.format.dtype, accelerated)
    batches.check_random_batches(request.live, near)


def errors(batches: CachedBatches) -> dict[str, dict[str, float]]:
    """Return the worst errors over all rows, by output and measure."""
    named = zip(batches.format.names, batches.store.errors, strict=True)
    return {
        name: dict(zip(MEASURES, found, strict=True)) for name, found in named
    }


def _complete_views(store: FolderStore) -> int:
    """Return how many views there are; refuse what is not finished."""
    views = store.views
    if views is None:
        numbers = itertools.takewhile(
            lambda number: store.is_complete(("train", number)),
            itertools.count(),
        )
        views = len(list(numbers))
    expected = [("train", number) for number in range(views or 1)]
    expected += [("validation", 0), ("test", 0)]
    if not all(map(store.is_complete, expected)):
        wanted = sum(store.content["rows"][split] for split, _ in expected)
        have = sum(map(store.count, expected))
        raise InputError(
            f"The cache in {store.folder} is not finished, with {have} of "
            f"{wanted} rows. Call {store.maker} again; it continues."
        )
    return views


def _check_digest(digest: str | None, key: keys.Key, where: str) -> None:
    if digest is None:
        raise InputError(
            "A cache is opened with its teacher, or with teacher_digest. "
            "Pass teacher_digest=cache.teacher_digest, as it was when the "
            "cache was built or last opened with its teacher."
        )
    if digest != keys.teacher_digest(key):
        raise InputError(
            "teacher_digest",
            digest,
            f"{keys.teacher_digest(key)}, with which {where} was built",
            "Build a cache for this teacher in a folder of its own.",
        )


def _check_names(names: Sequence[str | None] | None, rows: RowFormat) -> None:
    if names is not None and tuple(names) != rows.taps:
        raise InputError(
            "taps",
            names,
            f"{rows.taps}, with which the cache was built",
            "Leave taps out, or build another cache.",
        )


def _say(line: str, echo: Echo | None) -> None:
    if echo is not None:
        echo(line)


def _with_progress(batches: Any, total: int, echo: Echo | None) -> Any:
    """Yield batches; show a bar on a terminal, else about ten lines."""
    started = time.monotonic()
    on_terminal = echo is not None and sys.stderr.isatty()
    with tqdm.tqdm(
        desc="feature cache",
        total=total,
        unit="batch",
        dynamic_ncols=True,
        disable=not on_terminal,
    ) as bar:
        for done, batch in enumerate(batches, 1):
            yield batch
            bar.update(1)
            parts, before = (n * PARTS // total for n in (done, done - 1))
            if not on_terminal and parts > before:
                spent = time.monotonic() - started
                left = spent / done * (total - done)
                _say(
                    f"feature cache: batch {done}/{total}, "
                    f"{tqdm.tqdm.format_interval(spent)} spent, "
                    f"{tqdm.tqdm.format_interval(left)} left",
                    echo,
                )
