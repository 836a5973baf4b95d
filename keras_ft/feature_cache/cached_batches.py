"""Batches of images with the teacher's outputs, read from a cache's store."""

import atexit
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ft.data import batches as pipelines
from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache.request import Request
from keras_ft.feature_cache.rows import LOGITS
from keras_ft.feature_cache.rows import RowFormat
from keras_ft.feature_cache.store import Store
from keras_ft.feature_cache.store import View
from keras_ft.feature_cache.teacher_pass import Agreement
from keras_ft.feature_cache.teacher_pass import Forward
from keras_ft.feature_cache.teacher_pass import check_outputs
from keras_ft.validation.preflight import MARK

# How many random batches are computed anew.
_COMPARED = {"train": 2, "validation": 1, "test": 1}


class _Calls:
    """Counts the calls of pipelines into Python, and ends them in time.

    A thread that enters Python while the interpreter shuts down never comes
    back, and TensorFlow waits for it for ever: a script that ends with an
    iterator at hand, say after Ctrl-C, would hang.
    """

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._last = 0.0
        self._over = False
        atexit.register(self._end)

    @contextlib.contextmanager
    def one(self) -> Iterator[bool]:
        """Count a call; yield whether it may still do its work."""
        self._running.add(threading.get_ident())
        try:
            yield not self._over
        finally:
            self._running.discard(threading.get_ident())
            self._last = time.monotonic()

    def _end(self) -> None:
        self._over = True
        # Until the buffers of all pipelines are full, and they rest.
        while self._running or time.monotonic() < self._last + 0.1:
            time.sleep(0.01)


_calls = _Calls()


class CachedBatches:
    """`tf.data` pipelines over images and their rows.

    Args:
        data: The images, which are numbered.
        store: The rows.
        views: How many views there are; None for no limit.
        request: Computes the rows that are not there, and stores them; None
            where all are.
    """

    def __init__(
        self,
        data: ImageData,
        store: Store,
        views: int | None,
        request: Request | None = None,
    ) -> None:
        self.data = data
        self.store = store
        self.views = views
        self.format: RowFormat = store.format
        self._request = request

    def train_from(self, epoch: int) -> tf.data.Dataset:
        """Return endless batches; epoch e is view e modulo the views."""
        epochs = pipelines.epochs_from(epoch)
        if self.views is not None:
            views = self.views
            epochs = epochs.map(lambda number: number % views)
        return self._joined("train", self.data.numbered("train", epochs))

    def ordered(self, split: str) -> tf.data.Dataset:
        """Return validation or test, once."""
        return self._joined(split, self.data.numbered(split))

    def _joined(self, split: str, numbered: tf.data.Dataset) -> tf.data.Dataset:
        def read(view: Any, numbers: Any, images: Any = None) -> Any:
            with _calls.one() as allowed:
                if not allowed:
                    rows = np.zeros(len(numbers), self.format.row)
                    return self.format.unpack(rows)
                try:
                    rows = self._rows((split, int(view)), numbers, images)
                except InputError as error:
                    raise _within_a_graph(error) from error
                return self.format.unpack(rows)

        def join(images: Any, labels: Any, numbers: Any, view: Any) -> Any:
            specs = self.format.unpacked_specs(images.shape[0])
            wanted = [view, numbers] + [images] * (self._request is not None)
            stored = tf.numpy_function(read, wanted, [s.dtype for s in specs])
            for part, spec in zip(stored, specs, strict=True):
                part.set_shape(spec.shape)
            return self._features(images, stored), labels

        # The teacher computes one batch after the other.
        calls = pipelines.cores() if self._request is None else None
        return pipelines.prefetched(numbered.map(join, calls))

    def _features(self, images: Any, stored: Any) -> dict[str, Any]:
        outputs = self.format.restore(stored)
        x = {"images": images}
        x["features"] = dict(zip(self.format.taps, outputs, strict=False))
        if self.format.logits:
            x[LOGITS] = outputs[-1]
        return x

    def _rows(self, view: View, numbers: Any, images: Any) -> np.ndarray:
        request, store = self._request, self.store
        if request is None:
            return store.read(view, numbers)
        with store.lock:
            if not store.has(view, numbers).all():
                self._compute(request, view, numbers, tf.constant(images))
            return store.read(view, numbers)

    def _compute(
        self, request: Request, view: View, numbers: Any, images: Any
    ) -> None:
        first = not self.store.has_unwritten(view)
        if first:
            # Another process may have gone ahead.
            self.store.refresh()
            if self.store.has(view, numbers).all():
                return
        rows, errors = request.compute(images, numbers)
        if first and request.accelerated:
            self._check_rows(
                rows, images, request.live, request.agreement, view
            )
        self.store.add(view, rows, errors)

    def _check_rows(
        self,
        rows: np.ndarray,
        images: Any,
        live: Forward,
        agreement: Agreement,
        view: View,
    ) -> None:
        stored = [tf.constant(part) for part in self.format.unpack(rows)]
        check_outputs(
            self.format.restore(stored),
            live(images),
            self.format.names,
            agreement,
            self.store.where,
            f"{len(rows)} {view[0]} images in view {view[1]}",
        )

    def check_random_batches(self, live: Forward, agreement: Agreement) -> None:
        """Compute random batches anew, other ones each time.

        Two of training and one each of validation and test, all their rows,
        of what there is.

        Args:
            live: The teacher.
            agreement: How near the cache must be to it.

        Raises:
            InputError: A row of the cache is not what the teacher says.
        """
        draw = np.random.default_rng()
        for split, count in _COMPARED.items():
            views = self.store.views_of(split)
            for number in draw.choice(views, count) if views else ():
                view = split, int(number)
                steps = -(-self.store.count(view) // self.data.batch_size)
                epochs = tf.data.Dataset.from_tensors(np.int64(number))
                batches = self.data.numbered(split, epochs)
                batch = batches.skip(draw.integers(steps)).take(1)
                for images, _, numbers, _ in batch:
                    there = self.store.has(view, numbers.numpy())
                    if there.any():
                        rows = self.store.read(view, numbers.numpy()[there])
                        images = tf.boolean_mask(images, there)
                        self._check_rows(rows, images, live, agreement, view)


def _within_a_graph(error: InputError) -> ValueError:
    """Return what TensorFlow hands on and `explained_errors` reads."""
    argument, received = error.argument, error.received
    if not argument.isidentifier():
        argument, received = "folder", f"{argument}: {received}"
    parts = [
        str(part).replace("|", "/")
        for part in (argument, received, error.expected, error.fix)
    ]
    return ValueError(MARK + "".join(f"{part}|" for part in parts))
