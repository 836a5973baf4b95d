"""The frozen teacher's forward pass: live, folded, or read from the batch."""

from collections.abc import Sequence
from typing import Any

import keras
from absl import logging
from keras import ops

from keras_ft import heads
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.folded_teacher import fold_in_steps
from keras_ft.acceleration.folded_teacher import refold
from keras_ft.acceleration.processor import gains_from_bfloat16
from keras_ft.errors import InputError
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import Tap

# The parts of a batch's x that carries the teacher's outputs.
IMAGES, FEATURES, LOGITS = "images", "features", "logits"


class TeacherPass:
    """Run a teacher in inference mode; its results are constants.

    Where a batch carries the teacher's outputs, as those of a `FeatureCache`
    do, they are taken from there and the teacher does not run.

    Args:
        teacher: A built Functional or Sequential model, never changed.
        taps: The taps whose features are wanted.
        outputs: Whether the teacher's outputs are wanted, too: of a single
            one that ends in a softmax or sigmoid, the logits before it.
    """

    def __init__(
        self, teacher: keras.Model, taps: Sequence[Tap], outputs: bool = True
    ) -> None:
        self.teacher = teacher
        self.taps = tuple(tap.name for tap in taps)
        self.outputs = outputs
        # Not where nothing asks for them: it may have no graph.
        network, self._activation = teacher, None
        if outputs and getattr(teacher, "outputs", None):
            self._activation = heads.output_activation(teacher)
        if self._activation:
            network = heads.logits_model(teacher)
        self._extractor = (
            feature_extractor(network, list(taps)) if taps else network
        )
        self._folded: keras.Model | None = None
        self._how = ""
        self._said = ""

    def __call__(self, x: Any) -> tuple[list[Any], Any]:
        """Return features, one per tap, and outputs (None unless wanted)."""
        if is_cached(x):
            features = [x[FEATURES][name] for name in self.taps]
            return _stopped(features), _stopped(x.get(LOGITS))
        run = self._extractor if self._folded is None else self._folded
        results = run(x, training=False)
        count = len(self.taps)
        if not count:
            return [], _stopped(results)
        if not isinstance(results, (list, tuple)):
            results = [results]
        features, outputs = list(results[:count]), results[count:]
        if not self.outputs:
            return _stopped(features), None
        return (
            _stopped(features),
            _stopped(outputs[0] if len(outputs) == 1 else outputs),
        )

    def activated(self, logits: Any) -> Any:
        """Return the teacher's own outputs, made of what a call returned."""
        return heads.activate(self._activation, logits)

    def accelerate(self, images: Any = None) -> str:
        """Fold the teacher as it is now; called again, renew the weights.

        Args:
            images: An array of images to try it on, if there is one.

        Returns:
            What was done, or why not, for people.
        """
        if not self.teacher.variables:
            return "as it is: it has no weights"

        def fold_in(dtype: str) -> keras.Model:
            return fold(self._extractor, dtype, self._kept(), images=images)

        if self._folded is not None:
            refold(self._folded, self._extractor, self._kept())
        else:
            self._folded, self._how = fold_in_steps(
                fold_in, gains_from_bfloat16()
            )
        if self._folded is None:
            self._say(self._how)
            return f"as it is: {self._how}"
        return f"batch normalization folded, {self._how}"

    def _say(self, reason: str) -> None:
        """Tell the user once why training takes longer than it could."""
        if reason != self._said:
            logging.warning(
                "Teacher '%s' runs as it is, not folded for speed: %s.",
                self.teacher.name,
                reason,
            )
        self._said = reason

    def unfold(self) -> None:
        """Run the teacher itself again."""
        self._folded = None

    def _kept(self) -> range | None:
        """Return the extractor's outputs that are wanted, None for all."""
        return None if self.outputs else range(len(self.taps))

    def check(self, x: Any) -> None:
        """Refuse batches that carry other outputs than those wanted.

        Args:
            x: What a training would be given; looked at where it declares
                its elements.
        """
        spec = getattr(x, "element_spec", None)
        batch: Any = spec[0] if isinstance(spec, tuple) else spec
        if not is_cached(batch):
            return
        missing = [name for name in self.taps if name not in batch[FEATURES]]
        if missing or (self.outputs and LOGITS not in batch):
            has = [*batch[FEATURES], *([LOGITS] if LOGITS in batch else [])]
            wants = [*self.taps, *([LOGITS] if self.outputs else [])]
            raise InputError(
                "x",
                f"a cache of {', '.join(has)}",
                f"one of {', '.join(wants)}",
                "Build the FeatureCache with these taps; logits=True where a "
                "transfer compares outputs.",
            )


def is_cached(x: Any) -> bool:
    """Return whether a batch's x carries the teacher's outputs."""
    return isinstance(x, dict) and IMAGES in x and FEATURES in x


def images_of(x: Any) -> Any:
    """Return the student's input: x, or the images of a cached batch."""
    return x[IMAGES] if is_cached(x) else x


def _stopped(tensors: Any) -> Any:
    if tensors is None:
        return None
    return keras.tree.map_structure(ops.stop_gradient, tensors)
