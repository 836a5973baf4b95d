"""Fills a cache shard by shard."""

import itertools
import math
import time
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_ft.data.dataset import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache.agreement import agreement
from keras_ft.feature_cache.cached_stream import CachedStream
from keras_ft.feature_cache.layout import NO_ERROR
from keras_ft.feature_cache.layout import Errors
from keras_ft.feature_cache.layout import encode
from keras_ft.feature_cache.layout import worst
from keras_ft.feature_cache.progress import Echo
from keras_ft.feature_cache.progress import Progress
from keras_ft.feature_cache.request import Request
from keras_ft.feature_cache.shard import Shard
from keras_ft.feature_cache.shard_folder import ShardFolder
from keras_ft.feature_cache.shard_memory import ShardMemory

MEASURED = 3
Keep = Callable[[Shard, list[bytes], Errors], None]


def describe(request: Request) -> str:
    """One sentence on bytes and minutes; runs the teacher on four batches."""
    minutes = duration(request) / 60
    rows = sum(shard.rows for shard in request.plan)
    names = ", ".join(request.layout.names)
    cost = (
        f"{request.bytes:,} bytes, about {minutes:.1f} minutes; "
        f"the teacher runs {request.how}"
    )
    if request.views is None:
        return (
            f"feature cache: a view for every epoch; the first with validation "
            f"and test, {rows:,} rows of {names} as {request.layout.dtype}: "
            f"{cost}"
        )
    return (
        f"feature cache: {request.views} views, {rows:,} rows of {names} as "
        f"{request.layout.dtype}: {cost}"
    )


def duration(request: Request) -> float:
    """Seconds that all planned shards will take, from four batches."""
    samples = itertools.cycle(request.survey.batches)
    compute(request, *next(samples))
    started = time.perf_counter()
    for images, labels in itertools.islice(samples, MEASURED):
        compute(request, images, labels)
    seconds = (time.perf_counter() - started) / MEASURED
    return seconds * sum(shard.batches for shard in request.plan)


def fill(
    store: ShardFolder | ShardMemory,
    request: Request,
    plan: list[Shard],
    echo: Echo | None,
) -> None:
    """Computes the shards of a plan that the store does not have.

    Raises:
        InputError: The teacher's outputs are not finite, or the dtype cannot
            hold them.
    """
    pending = [shard for shard in plan if shard.name not in store.entries]
    total = sum(shard.batches for shard in pending)
    with Progress(total, echo) as progress:
        for shard, batches in passes(request.data, pending):
            for _ in records(request, shard, batches, store.write):
                progress.advance()


def records(
    request: Request,
    shard: Shard,
    batches: Iterator[Any],
    keep: Keep,
    check: Callable[[Any, bytes], None] | None = None,
) -> Iterator[bytes]:
    """A shard's records, each as soon as it is computed.

    Args:
        request: What to compute.
        shard: Which one.
        batches: Its images and labels.
        keep: Takes the whole shard, before the last record is handed out.
        check: Sees the first images and their record, or `None`.

    Raises:
        InputError: See `fill`.
    """
    found: list[bytes] = []
    errors = [list(NO_ERROR) for _ in request.layout.names]
    for images, labels in batches:
        record, error = compute(request, images, labels)
        _check(error, request)
        if check is not None and not found:
            check(images, record)
        found.append(record)
        errors = worst(errors, error)
        if len(found) == shard.batches:
            keep(shard, found, errors)
        yield record
    if len(found) != shard.batches:
        raise InputError(
            "data",
            f"{len(found)} batches for {shard.name}",
            f"{shard.batches}",
            "The data changed while it was read; load it again.",
        )


def compute(request: Request, images: Any, labels: Any) -> tuple[bytes, Errors]:
    """The record of one batch, and what storing costs."""
    values = [
        tf.cast(tf.convert_to_tensor(value), tf.float32)
        for value in request.forward(images)
    ]
    stored, errors = request.compress(*values)
    return encode(stored, labels), errors.numpy().tolist()


def loss(stream: CachedStream) -> str:
    """One sentence on what storing costs."""
    parts = [
        f"{name} within {error['relative']:.2%} of a row's length, cosine at "
        f"least {error['cosine']:.6f}"
        for name, error in stream.error.items()
    ]
    return f"feature cache: {stream.layout.dtype} keeps {'; '.join(parts)}"


def passes(
    data: ImageData, shards: list[Shard]
) -> Iterator[tuple[Shard, Iterator[Any]]]:
    """Each shard with its batches; the pipeline runs on where it can."""
    source: Iterator[Any] = iter(())
    split, at, position = "", 0, 0
    for shard in shards:
        first = shard.view * data.steps_per_epoch + shard.first
        # A pipeline starts in the time of a few batches, not of an epoch.
        if shard.split != split or shard.view > at + 1:
            position = shard.view * data.steps_per_epoch
            split = shard.split
            source = iter(
                data.train_from(shard.view)
                if split == "train"
                else getattr(data, split)
            )
        for _ in range(first - position):
            next(source)
        yield shard, itertools.islice(source, shard.batches)
        at, position = shard.view, first + shard.batches


def _check(errors: Errors, request: Request) -> None:
    layout = request.layout
    limit = agreement(layout.dtype, accelerated=False).row
    for name, error in zip(layout.names, errors, strict=True):
        absolute, _, cosine = error
        if math.isnan(absolute):
            raise InputError(
                "teacher",
                f"NaN or infinity in its '{name}'",
                "finite values",
                "Look for broken images or weights.",
            )
        if cosine < limit or math.isinf(absolute):
            why = (
                f"which is too small for the values of '{name}'"
                if math.isinf(absolute)
                else f"which keeps '{name}' at a cosine of {cosine:.5f} only"
            )
            raise InputError(
                "dtype",
                f"'{layout.dtype}', {why}",
                f"a cosine of at least {limit}",
                "Use dtype='float32'.",
            )
