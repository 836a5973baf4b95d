"""Choose what of a training is made faster, and report the choice."""

from contextlib import AbstractContextManager
from contextlib import nullcontext
from typing import Any
from typing import Protocol

import keras

from keras_ft.acceleration import fused_norm
from keras_ft.acceleration import processor
from keras_ft.errors import InputError

CHOICES = ("auto", "none")


class _Teacher(Protocol):
    def accelerate(self, images: Any = None) -> str: ...
    def unfold(self) -> None: ...


class Acceleration:
    """Choose once per training, and report what was chosen.

    Args:
        choice: `"none"`, or `"auto"` for what is faster on this machine.
        teacher: The `TeacherPass` that is folded, and unfolded.

    Attributes:
        report: For `"teacher"` and `"student"`, what was done or why not.

    Raises:
        InputError: `choice` is neither.

    Example:

    >>> acceleration = Acceleration("auto", teacher_pass)
    >>> acceleration.prepare(model, strategy=None)
    >>> with acceleration.forward(model):
    ...     outputs = model(images, training=True)
    """

    def __init__(self, choice: str, teacher: _Teacher) -> None:
        check_choice(choice)
        self.choice = choice
        self._teacher = teacher
        self.report: dict[str, str] = {}
        self._fuses = False

    def prepare(
        self, model: keras.Model, strategy: Any, images: Any = None
    ) -> None:
        """Decide, before a step is traced or traced steps go on.

        Args:
            model: The compiled model that trains.
            strategy: The one it was made under, or None.
            images: Those of the training where they are an array: a folded
                teacher is tried on the first.
        """
        reason = self._why_not(model, strategy)
        if reason is not None:
            # An earlier fit may have been faster: compile() can change jit.
            self._teacher.unfold()
            self._fuses = False
            kept = f"Keras' own path: {reason}"
            self.report = {"teacher": kept, "student": kept}
            return
        self._fuses = fused_norm.is_faster(model.compute_dtype)
        self.report = {
            "teacher": self._teacher.accelerate(images),
            "student": "fused batch normalization"
            if self._fuses
            else "Keras' own path: the fused kernel is not faster here",
        }

    def forward(self, model: keras.Model) -> AbstractContextManager[None]:
        """Enter it around a forward pass while a training step is traced."""
        return fused_norm.fused(model) if self._fuses else nullcontext()

    def _why_not(self, model: keras.Model, strategy: Any) -> str | None:
        if self.choice == "none":
            return 'acceleration="none"'
        if keras.backend.backend() != "tensorflow":
            return f"{keras.backend.backend()} compiles the whole step"
        if strategy is not None:
            return "replicas keep Keras' own layers"
        if not processor.is_used_alone():
            return "GPUs have fused kernels of their own"
        if model.jit_compile:
            return "XLA compiles the whole step"
        return None


def check_choice(choice: str) -> None:
    """Refuse what `Acceleration` does not know."""
    if choice not in CHOICES:
        raise InputError(
            "acceleration",
            repr(choice),
            f"one of {', '.join(map(repr, CHOICES))}",
            'Use "none" for Keras\' own path.',
        )
