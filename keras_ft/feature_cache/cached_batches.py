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
from keras_ft.feature_cache.store import FolderStore
from keras_ft.feature_cache.store import Store
from keras_ft.feature_cache.store import View
from keras_ft.feature_cache.teacher_pass import Agreement
from keras_ft.feature_cache.teacher_pass import Forward
from keras_ft.feature_cache.teacher_pass import check_outputs
from keras_ft.validation.in_graph import as_text

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
        store: All of their rows.
        views: How many views there are; None for no limit.
    """

    def __init__(
        self, data: ImageData, store: Store, views: int | None
    ) -> None:
        self.data = data
        self.store = store
        self.views = views
        self.format: RowFormat = store.format

    def train_from(self, epoch: int) -> tf.data.Dataset:
        """Return endless batches; epoch e is view e modulo the views."""
        epochs = pipelines.epochs_from(epoch)
        if self.views is not None:
            views = self.views
            epochs = epochs.map(lambda number: number % views)
        return self._joined("train", epochs)

    def ordered(self, split: str) -> tf.data.Dataset:
        """Return validation or test, once."""
        return self._joined(split)

    def _joined(self, split: str, epochs: Any = None) -> tf.data.Dataset:
        def read(number: Any, *batch: Any) -> Any:
            with _calls.one() as allowed:
                try:
                    rows = (
                        self._rows((split, int(number)), *batch)
                        if allowed
                        else np.zeros(len(batch[0]), self.format.row)
                    )
                except InputError as error:
                    raise ValueError(as_text(error)) from error
                return self.format.unpack(rows)

        def join(images: Any, labels: Any, numbers: Any, number: Any) -> Any:
            specs = self.format.unpacked_specs(images.shape[0])
            arguments = [number, *self._wanted(numbers, images)]
            stored = tf.numpy_function(
                read, arguments, [s.dtype for s in specs]
            )
            for part, spec in zip(stored, specs, strict=True):
                part.set_shape(spec.shape)
            outputs = self.format.restore(stored)
            x = {"images": images}
            x["features"] = dict(zip(self.format.taps, outputs, strict=False))
            if self.format.logits:
                x[LOGITS] = outputs[-1]
            return x, labels

        numbered = self.data.numbered(split, epochs)
        return pipelines.prefetched(numbered.map(join, self._parallel))

    @property
    def _parallel(self) -> int | None:
        return pipelines.cores()

    def _wanted(self, numbers: Any, images: Any) -> list[Any]:
        """Return which parts of a batch `_rows` needs."""
        return [numbers]

    def _rows(self, view: View, numbers: Any, images: Any = None) -> np.ndarray:
        return self.store.read(view, numbers)

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


class LazyBatches(CachedBatches):
    """The same; rows that are not there are computed and stored.

    Args:
        request: What to compute; it holds the teacher.
        store: What there is already.
    """

    def __init__(self, request: Request, store: FolderStore) -> None:
        super().__init__(request.data, store, views=None)
        self._request = request
        self._folder = store

    @property
    def _parallel(self) -> int | None:
        return None  # The teacher computes one batch after the other.

    def _wanted(self, numbers: Any, images: Any) -> list[Any]:
        return [numbers, images]

    def _rows(self, view: View, numbers: Any, images: Any = None) -> np.ndarray:
        store = self._folder
        with store.lock:
            first = not store.has_unwritten(view)
            if first and not store.has(view, numbers).all():
                store.refresh()  # Another process may have gone ahead.
            if not store.has(view, numbers).all():
                request, batch = self._request, tf.constant(images)
                rows, errors = request.compute(batch, numbers)
                if first and request.accelerated:
                    near = request.agreement
                    self._check_rows(rows, batch, request.live, near, view)
                store.add(view, rows, errors)
            return store.read(view, numbers)
