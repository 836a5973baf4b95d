"""How long and how fast one training runs."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras

from keras_ft.coupled_sgd import CoupledSGD
from keras_ft.errors import InputError

SHAPES = ("step", "linear")


@dataclass(frozen=True)
class Schedule:
    """Epochs, batch size and SGD settings of one training.

    Attributes:
        epochs: Passes over the training data, at least 1.
        batch_size: Images per step, at least 1.
        learning_rate: At the first step, above 0.
        momentum: In [0, 1).
        nesterov: Nesterov momentum.
        weight_decay: Coupled L2, on every trainable weight.
        milestones: Epochs after which the rate is multiplied by `decay`.
        decay: Factor at each milestone.
        shape: `"step"` drops at the milestones; `"linear"` falls to 0.

    Raises:
        InputError: A value is out of range.

    Example:

    >>> schedule = Schedule(epochs=164, batch_size=128, learning_rate=0.1,
    ...                     milestones=(82, 123))
    >>> optimizer = schedule.optimizer(steps_per_epoch=391)
    """

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    milestones: tuple[int, ...] = ()
    decay: float = 0.1
    shape: str = "step"

    def __post_init__(self) -> None:
        for field, low in (("epochs", 1), ("batch_size", 1)):
            if getattr(self, field) < low:
                raise InputError(
                    field,
                    getattr(self, field),
                    f"at least {low}",
                    "Use a positive whole number.",
                )
        if not self.learning_rate > 0:
            raise InputError(
                "learning_rate",
                self.learning_rate,
                "a number above 0",
                "Use 0.1, the official setting.",
            )
        if self.shape not in SHAPES:
            raise InputError(
                "shape",
                repr(self.shape),
                "'step' or 'linear'",
                "Use 'step' with milestones, as published.",
            )

    def linear(self, epochs: int) -> "Schedule":
        """The same settings over `epochs`, the rate falling linearly to 0."""
        return dataclasses.replace(self, epochs=epochs, shape="linear")

    def with_epochs(self, epochs: int) -> "Schedule":
        """The same shape over `epochs`, milestones moved in proportion."""
        scale = epochs / self.epochs
        moved = tuple(max(1, round(m * scale)) for m in self.milestones)
        return dataclasses.replace(self, epochs=epochs, milestones=moved)

    def rate_at(self, steps_per_epoch: int) -> Any:
        """The learning rate as a Keras schedule, or a constant."""
        schedules = keras.optimizers.schedules
        if self.shape == "linear":
            return schedules.PolynomialDecay(
                self.learning_rate,
                decay_steps=self.epochs * steps_per_epoch,
                end_learning_rate=0.0,
            )
        if not self.milestones:
            return self.learning_rate
        # Keras lowers the rate *after* the boundary step has passed.
        boundaries = [m * steps_per_epoch - 1 for m in self.milestones]
        values = [
            self.learning_rate * self.decay**drops
            for drops in range(len(self.milestones) + 1)
        ]
        return schedules.PiecewiseConstantDecay(boundaries, values)

    def optimizer(self, steps_per_epoch: int) -> CoupledSGD:
        """A fresh optimizer for this schedule."""
        return CoupledSGD(
            self.rate_at(steps_per_epoch),
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Schedule":
        """The inverse of `dataclasses.asdict`, also after JSON."""
        return cls(**{**values, "milestones": tuple(values["milestones"])})
