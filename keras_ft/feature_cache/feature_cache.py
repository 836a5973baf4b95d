"""The teacher's outputs for every augmented view, computed once."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.data.dataset import ImageData
from keras_ft.feature_cache.cached_batches import CachedBatches
from keras_ft.validation.installed import require_tensorflow

if TYPE_CHECKING:
    # TensorFlow is imported where it is used: `import keras_ft` must not ask
    # for it.
    from keras_ft.feature_cache.forward import Forward
    from keras_ft.feature_cache.request import Request

Echo = Callable[[str], None]


class FeatureCache(CachedBatches):
    """Teacher outputs for seeded views of the data, ready for training.

    A *view* is one epoch of the training batches: their order, their
    augmentation and the teacher's outputs for exactly these pixels. With M
    views, epoch e of a training uses view e modulo M, so that image and
    features belong together by construction. Validation and test images have
    one view each. One cache serves every rate, beta, seed and student; only
    teacher, taps and data are fixed. No teacher is needed beside it: both
    phases take `cache.teacher`, which has no weights, in its place.

    Every batch is `(x, labels)` with

        x = {
            "images": (B, H, W, C),
            "features": {tap name: (B, h, w, c)},
            "logits": (B, classes),            # only with logits=True
        }

    all float32 whatever the dtype on disk. Each batch's labels are compared
    with those it was built with.

    Make one with `build`, `open` or `lazy`.

    Example:

    >>> cache = FeatureCache.build("cache", teacher, data, views=8)
    feature cache: 8 views, 38,500 rows of stage3 as float16: ...
    >>> x, labels = next(iter(cache.train_from(0)))
    >>> x["features"]["stage3"].shape
    TensorShape([128, 7, 7, 64])
    >>> model = keras_ft.FactorTransfer(cache.teacher, student, paraphraser)
    """

    @classmethod
    def describe(
        cls,
        teacher: keras.Model,
        data: ImageData,
        taps: Sequence[str | None] = (None,),
        logits: bool = False,
        views: int | None = 8,
        dtype: str = "float16",
        *,
        forward: "Forward | None" = None,
        acceleration: str = "auto",
    ) -> str:
        """Bytes and minutes of a cache, before it is built.

        The minutes are extrapolated from the teacher's time on four batches.

        Args: As for `build`, which says the same sentence first; `views=None`
            for one epoch of `lazy`.
        """
        request = _request(
            teacher, data, taps, logits, views, dtype, forward, acceleration
        )
        from keras_ft.feature_cache import building

        return building.describe(request)

    @classmethod
    def build(
        cls,
        folder: artifacts.PathLike | None,
        teacher: keras.Model,
        data: ImageData,
        taps: Sequence[str | None] = (None,),
        logits: bool = False,
        views: int = 8,
        dtype: str = "float16",
        *,
        forward: "Forward | None" = None,
        acceleration: str = "auto",
        echo: Echo | None = print,
    ) -> "FeatureCache":
        """Computes a cache, or what is missing of one.

        On disk it is written in shards of at most 64 MiB. A build that was
        interrupted continues: finished shards are verified and kept. Shards
        that were deleted are computed again, damaged ones refused by name.

        Args:
            folder: Where to keep it; `None` keeps it in memory.
            teacher: A Functional or Sequential model. It is run in inference
                mode and not changed.
            data: What `keras_ft.data.load` returned.
            taps: Feature maps to keep, by name; `None` is the default tap.
            logits: Keep the teacher's output as well, for `SoftTargets`.
            views: How many differently augmented epochs to keep. Pad 4, crop
                and flip has 162 views; few views train on fewer pictures.
            dtype: "float32", "float16", or "int8" with one scale per channel
                and batch. `error` says what it costs.
            forward: Runs in the teacher's place: maps a batch of images to a
                list of features in the order of `taps`, then logits where
                wanted. None leaves it to `acceleration`.
            acceleration: `"auto"` folds the teacher where TensorFlow runs on
                processors and `dtype` is not "float32"; see `Distiller`.
                `"none"` never does. Random batches are compared with the
                teacher itself all the same.
            echo: Takes lines of text; `None` shows nothing.

        Raises:
            InputError: Bad input; a folder with another cache, with damaged
                shards or without room; a row whose cosine to the live
                teacher's is below 0.999 (0.9999 for float32; with a faster
                teacher 0.99, and 0.999 in the mean of a batch).
        """
        request = _request(
            teacher, data, taps, logits, views, dtype, forward, acceleration
        )
        from keras_ft.feature_cache import assembly

        if folder is None:
            return cls(assembly.in_memory(request, echo))
        return cls(assembly.on_disk(folder, request, echo))

    @classmethod
    def lazy(
        cls,
        folder: artifacts.PathLike,
        teacher: keras.Model,
        data: ImageData,
        taps: Sequence[str | None] = (None,),
        logits: bool = False,
        dtype: str = "float16",
        *,
        forward: "Forward | None" = None,
        acceleration: str = "auto",
        echo: Echo | None = print,
    ) -> "FeatureCache":
        """A cache without limit of views, filled while a training reads it.

        Every epoch is a view of its own. What is stored is read; the rest is
        computed by the teacher when a training asks for it, and stored for
        the next training; pipelines read ahead, so that the teacher computes
        up to a few batches more than are used. Several processes may share
        the folder. `open` takes the complete epochs from the first on,
        without the teacher.

        Args: As for `build`.

        Raises:
            InputError: As `build`, at once or in the step that asks for what
                cannot be computed or stored.
        """
        request = _request(
            teacher, data, taps, logits, None, dtype, forward, acceleration
        )
        from keras_ft.feature_cache import assembly

        return cls(assembly.lazily(folder, request, echo))

    @classmethod
    def open(
        cls,
        folder: artifacts.PathLike,
        teacher: keras.Model | None,
        data: ImageData,
        taps: Sequence[str | None] | None = None,
        logits: bool | None = None,
        views: int | None = None,
        dtype: str | None = None,
        *,
        teacher_digest: str | None = None,
    ) -> "FeatureCache":
        """Opens a finished cache: every bit of it is verified.

        Its key is compared with the data and the teacher as they are now, and
        random batches with the live teacher. Without a teacher the
        `teacher_digest` of an earlier `build` or `open` vouches for it, and
        the outputs are not recomputed; the rest is checked all the same.

        Args:
            folder: Where it is.
            teacher: The teacher it was built from, or `None`.
            data: The data it was built from.
            taps: Refuse the cache unless it has these; `None` takes what it
                has. So do `logits`, `views` and `dtype`.
            logits, views, dtype: See `taps`.
            teacher_digest: `cache.teacher_digest`, needed without a teacher.

        Raises:
            InputError: Whatever differs or is damaged, by name.
        """
        _need_tensorflow()
        from keras_ft.feature_cache import opening

        asked = dict(taps=taps, logits=logits, views=views, dtype=dtype)
        known = {
            key: value for key, value in asked.items() if value is not None
        }
        return cls(opening.opened(folder, teacher, data, known, teacher_digest))


def _request(*arguments: Any) -> "Request":
    _need_tensorflow()
    from keras_ft.feature_cache.request import Request

    return Request(*arguments)


def _need_tensorflow() -> None:
    require_tensorflow(
        "keras_ft.FeatureCache", "Train with the teacher itself instead."
    )
