"""The teacher's outputs for every augmented view, computed once."""

import functools
from collections.abc import Callable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.data.image_data import ImageData
from keras_ft.data.image_data import check_epoch
from keras_ft.feature_cache.cached_teacher import cached_teacher
from keras_ft.features.digests import place_digest
from keras_ft.validation.installed import require_tensorflow

if TYPE_CHECKING:
    # TensorFlow is imported where it is used: `import keras_ft` must not ask
    # for it.
    from keras_ft.feature_cache.cached_batches import CachedBatches
    from keras_ft.feature_cache.request import Request
    from keras_ft.feature_cache.teacher_pass import Forward

Echo = Callable[[str], None]


class FeatureCache:
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

    all float32 whatever the dtype on disk. Rows are stored by image, and found
    by the numbers of the images in a batch.

    Make one with `build`, `open` or `lazy`.

    Example:

    >>> cache = keras_ft.FeatureCache.build("cache", teacher, data, views=8)
    feature cache: 8 views, ... rows of stage3 as float16: ...
    >>> x, labels = next(iter(cache.train_from(0)))
    >>> x["features"]["stage3"].shape
    TensorShape([128, 7, 7, 64])
    >>> model = keras_ft.FactorTransfer(cache.teacher, student, paraphraser)
    """

    def __init__(self, batches: "CachedBatches") -> None:
        self._batches = batches

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
        """Return a sentence on bytes and minutes of a cache, not yet built.

        The minutes are extrapolated from the teacher's time on four batches.

        Args: As for `build`, which says the same sentence first; `views=None`
            for one epoch of `lazy`.
        """
        return _request(
            teacher, data, taps, logits, views, dtype, forward, acceleration
        ).describe()

    @classmethod
    def cost(
        cls, teacher: keras.Model, data: ImageData, **form: Any
    ) -> tuple[int, float]:
        """Return the bytes and the seconds that `describe` speaks of.

        Args: As for `describe`.
        """
        request = _request(teacher, data, **form)
        return request.bytes, request.seconds()

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
        """Compute a cache, or what is missing of one.

        On disk it is written in blocks of about 64 MiB. A build that was
        interrupted continues: finished blocks are verified and kept. Blocks
        that were deleted are computed again, damaged ones refused by name.

        Args:
            folder: Where to keep it; `None` keeps it in memory.
            teacher: A Functional or Sequential model. It is run in inference
                mode and not changed.
            data: What `keras_ft.data.load` returned.
            taps: Feature maps to keep, by name; `None` is the default tap.
            logits: Keep the teacher's logits as well, for `SoftTargets`; a
                last softmax or sigmoid is left out.
            views: How many differently augmented epochs to keep. Crop and
                flip of 28 or 32 pixels has 162 views of an image; few views
                train on fewer pictures.
            dtype: "float32", "float16", or "int8" with a scale for each
                channel of an image. `error` says what it costs.
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
                blocks or without room; a row whose cosine to the live
                teacher's is below 0.999 (0.9999 for float32; with a faster
                teacher 0.99, and 0.999 in the mean of a batch).
        """
        request = _request(
            teacher, data, taps, logits, views, dtype, forward, acceleration
        )
        from keras_ft.feature_cache import building

        return cls(building.build(folder, request, echo))

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
        """Return a cache that is filled while a training reads it.

        Every epoch is a view of its own, without limit. What is stored is
        read; the rest is computed by the teacher when a training asks for it,
        and stored for the next training; pipelines read ahead, so that the
        teacher computes up to a few batches more than are used. Several
        processes may share the folder. `open` takes the complete epochs from
        the first on, without the teacher.

        Args: As for `build`.

        Raises:
            InputError: As `build`, at once or in the step that asks for what
                cannot be computed or stored.
        """
        request = _request(
            teacher, data, taps, logits, None, dtype, forward, acceleration
        )
        from keras_ft.feature_cache import building

        return cls(building.lazy(folder, request, echo))

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
        """Open a finished cache: every bit of it is verified.

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
        from keras_ft.feature_cache import building

        asked = dict(taps=taps, logits=logits, views=views, dtype=dtype)
        wanted = {n: value for n, value in asked.items() if value is not None}
        return cls(
            building.open_finished(
                folder, teacher, data, wanted, teacher_digest
            )
        )

    def train_from(self, epoch: int) -> Any:
        """Return endless training batches that begin with the given epoch.

        Args:
            epoch: Whole epochs to pass over, counted from 0.
        """
        check_epoch(epoch)
        return self._batches.train_from(epoch)

    # Once each: a pipeline takes longer to make than to begin anew.
    @functools.cached_property
    def validation(self) -> Any:
        """Return validation batches in fixed order, not augmented."""
        return self._batches.ordered("validation")

    @functools.cached_property
    def test(self) -> Any:
        """Return test batches in fixed order, not augmented."""
        return self._batches.ordered("test")

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of training batches per epoch."""
        return self._batches.data.steps_per_epoch

    @property
    def has_unlabelled(self) -> bool:
        """Return whether training batches hold images without a label."""
        return self._batches.data.has_unlabelled

    @property
    def class_weights(self) -> tuple[float, ...] | None:
        """Return what each class's labels count; `None` for 1 each."""
        return self._batches.data.class_weights

    @property
    def views(self) -> int | None:
        """Return how many epochs differ; `None` for no limit."""
        return self._batches.views

    @property
    def teacher(self) -> keras.Model:
        """Return a teacher for batches that carry its outputs.

        It has the teacher's input, its cached taps by name and its output,
        but no weights: pass it as the teacher of `ParaphraserTrainer`,
        `FactorTransfer` or `Distiller`. The last cached tap is its default.
        On images alone it raises `InputError`.
        """
        rows = self._batches.format
        taps = zip(rows.taps, rows.shapes, strict=False)
        # As the teacher has them.
        ordered = sorted(zip(self.key["taps"], taps, strict=True))
        outline = self._batches.store.content["teacher"]
        teacher = cached_teacher(outline, [tap for _, tap in ordered])
        # What phase 1 keeps of the teacher whose outputs these are.
        teacher.tap_digests = {
            name: place_digest(self.key["teacher weights"], place)
            for place, (name, _) in ordered
        }
        return teacher

    @property
    def taps(self) -> tuple[str, ...]:
        """Return the names of the features, as in `x["features"]`."""
        return self._batches.format.taps

    @property
    def bytes(self) -> int:
        """Return what the cached outputs take; so far, if filled lazily."""
        return self._batches.store.bytes

    @property
    def error(self) -> dict[str, dict[str, float]]:
        """Return what storing costs, measured over all rows while building.

        For each output the largest "absolute" error, the largest "relative"
        one of a row (length of the difference over length of the row), and
        the smallest "cosine" of a row.
        """
        from keras_ft.feature_cache import building

        return building.errors(self._batches)

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the cache depends on, by name."""
        return dict(self._batches.store.content["key"])

    @property
    def teacher_digest(self) -> str:
        """Return a digest of the teacher, for `open` without a teacher."""
        from keras_ft.feature_cache import key

        return key.teacher_digest(self.key)


def _request(*arguments: Any, **form: Any) -> "Request":
    _need_tensorflow()
    from keras_ft.feature_cache.request import Request

    return Request(*arguments, **form)


def _need_tensorflow() -> None:
    require_tensorflow(
        "keras_ft.FeatureCache", "Train with the teacher itself instead."
    )
