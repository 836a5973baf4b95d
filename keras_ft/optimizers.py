"""SGD as PyTorch computes it, and the schedule of a training."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from keras_ft.validation import parameters
from keras_ft.validation.parameters import Interval
from keras_ft.validation.parameters import OneOf

SHAPES = ("step", "linear")

_WEIGHT_DECAY = Interval(float, 0, fix="Use 5e-4, the official setting.")
_MOMENTUM = Interval(
    float, 0, 1, closed="left", fix="Use 0.9, the official setting."
)
_SCHEDULE = {
    "epochs": Interval(int, 1, fix="Use 164, the official setting."),
    "batch_size": Interval(int, 1, fix="Use 128, the official setting."),
    "learning_rate": Interval(
        float, 0, closed="neither", fix="Use 0.1, the official setting."
    ),
    "momentum": _MOMENTUM,
    "weight_decay": _WEIGHT_DECAY,
    "shape": OneOf(SHAPES, fix="Use 'step' with milestones, as published."),
}


@keras.saving.register_keras_serializable(package="keras_ft")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with momentum and *coupled* weight decay.

    With gradient g, weight w, buffer v:

        g <- g + weight_decay * w
        v <- momentum * v + g
        w <- w - learning_rate * v          (nesterov: g + momentum * v)

    Two differences from `keras.optimizers.SGD`. Its `weight_decay` is
    decoupled and stays outside of the momentum, about ten times weaker at the
    published settings. And its buffer contains the learning rate, so that
    after a drop it goes on with the old one for 10-20 steps.

    Weight decay applies to every trainable weight, biases and batch
    normalization included, unless `exclude_from_weight_decay` says otherwise.

    Args:
        learning_rate: Number or schedule.
        momentum: In [0, 1).
        nesterov: Use Nesterov momentum.
        weight_decay: Coefficient of the coupled L2 penalty, at least 0.

    Raises:
        InputError: `weight_decay` is negative.

    Example:

    >>> optimizer = keras_ft.CoupledSGD(0.1, momentum=0.9, weight_decay=5e-4)

    Reference:
        torch.optim.SGD; compared with it in the tests.
    """

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        name: str = "coupled_sgd",
        **kwargs: Any,
    ) -> None:
        # Keras' own decoupled weight decay stays off.
        super().__init__(
            learning_rate,
            momentum,
            nesterov,
            weight_decay=None,
            name=name,
            **kwargs,
        )
        _WEIGHT_DECAY.check("weight_decay", weight_decay)
        self.coupled_weight_decay = float(weight_decay)

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        """Update one variable."""
        # `keras.ops` throughout: under a strategy TensorFlow hands in its own
        # variables here.
        rate = ops.cast(learning_rate, variable.dtype)
        step = ops.cast(gradient, variable.dtype)
        if self._use_weight_decay(variable):
            decay = ops.cast(self.coupled_weight_decay, variable.dtype)
            step = ops.add(step, ops.multiply(variable, decay))
        if self.momentum:
            momentum = ops.cast(self.momentum, variable.dtype)
            buffer = self.momentums[self._get_variable_index(variable)]
            velocity = ops.add(ops.multiply(buffer, momentum), step)
            self.assign(buffer, velocity)
            step = (
                ops.add(step, ops.multiply(velocity, momentum))
                if self.nesterov
                else velocity
            )
        self.assign_sub(variable, ops.multiply(step, rate))

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        # Keras calls TensorFlow's all_reduce also where there is one replica.
        # That registers a gradient for the whole life of the process, and
        # with it keeps the step's graph: 6 MB for each training of a toy.
        # Only TensorFlow's optimizers have this method.
        if self._distribution_strategy.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "weight_decay": self.coupled_weight_decay,
        }


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
        parameters.check(_SCHEDULE, vars(self))

    def changed(
        self,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        shape: str | None = None,
    ) -> "Schedule":
        """Return a copy with some values changed; None leaves one alone.

        With other `epochs` the milestones of a `"step"` schedule move in
        proportion.
        """
        changes: dict[str, Any] = {
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "shape": shape,
        }
        if epochs is not None:
            changes["epochs"] = epochs
            if (shape or self.shape) == "step":
                scale = epochs / self.epochs
                changes["milestones"] = tuple(
                    max(1, round(m * scale)) for m in self.milestones
                )
        known = {name: v for name, v in changes.items() if v is not None}
        return dataclasses.replace(self, **known)

    def rate_at(self, steps_per_epoch: int) -> Any:
        """Return the learning rate: a Keras schedule, or a constant."""
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
        """Return a fresh optimizer for this schedule."""
        return CoupledSGD(
            self.rate_at(steps_per_epoch),
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Schedule":
        """Invert `dataclasses.asdict`, also after JSON."""
        return cls(**{**values, "milestones": tuple(values["milestones"])})
