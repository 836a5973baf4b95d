"""What a training takes from a cache."""

import functools
from typing import TYPE_CHECKING
from typing import Any

import keras

from keras_ft.errors import InputError

if TYPE_CHECKING:
    # TensorFlow is imported where it is used: `import keras_ft` must not ask
    # for it.
    from keras_ft.feature_cache.cached_stream import CachedStream


class CachedBatches:
    """Batches of images, labels and the teacher's outputs, like `ImageData`.

    Args:
        stream: Where they come from.
    """

    def __init__(self, stream: "CachedStream") -> None:
        self._stream = stream

    def train_from(self, epoch: int) -> Any:
        """Endless training batches that begin with the given epoch.

        Args:
            epoch: Whole epochs to pass over, counted from 0.
        """
        if epoch < 0:
            raise InputError(
                "epoch", epoch, "0 or more", "Use 0 for the first epoch."
            )
        return self._stream.train_from(epoch)

    # Once each: a pipeline takes longer to make than to begin anew.
    @functools.cached_property
    def validation(self) -> Any:
        """Validation batches in fixed order, not augmented."""
        return self._stream.ordered("validation")

    @functools.cached_property
    def test(self) -> Any:
        """Test batches in fixed order, not augmented."""
        return self._stream.ordered("test")

    @property
    def steps_per_epoch(self) -> int:
        """Training batches per epoch."""
        return self._stream.steps["train"]

    @property
    def views(self) -> int | None:
        """Differently augmented epochs; `None` for no limit."""
        return self._stream.views

    @property
    def teacher(self) -> keras.Model:
        """What stands in for the teacher where its outputs are in the batch.

        It has the teacher's input, its cached taps by name and its output,
        but no weights: pass it as the teacher of `ParaphraserTrainer`,
        `FactorTransfer` or `Distiller`. The last cached tap is its default.
        On images alone it raises `InputError`.
        """
        from keras_ft.feature_cache.stand_in import stand_in

        layout = self._stream.layout
        taps = dict(zip(layout.taps, layout.shapes, strict=False))
        ordered = sorted(zip(self.key["taps"], taps.items(), strict=True))
        outline = self._stream.store.content["teacher"]
        return stand_in(outline, [tap for _, tap in ordered])

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the features, as in `x["features"]`."""
        return self._stream.layout.taps

    @property
    def bytes(self) -> int:
        """What the cached outputs take; so far, if filled lazily."""
        return self._stream.bytes

    @property
    def error(self) -> dict[str, dict[str, float]]:
        """What storing costs, measured over all rows while building.

        For each output the largest "absolute" error, the largest "relative"
        one of a row (length of the difference over length of the row), and
        the smallest "cosine" of a row.
        """
        return self._stream.error

    @property
    def key(self) -> dict[str, Any]:
        """Everything the cache depends on, by name; digests are SHA-256."""
        return dict(self._stream.key)

    @property
    def teacher_digest(self) -> str:
        """The teacher's weights and graph, for `open` without a teacher."""
        from keras_ft.feature_cache import opening

        return opening.digest_of_teacher(self._stream.key)
