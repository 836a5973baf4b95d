"""Decoupled knowledge distillation (DKD): the other classes count alone."""

from typing import Any

import keras

from keras_ft import losses
from keras_ft.errors import InputError
from keras_ft.transfers.soft_targets import SoftTargets
from keras_ft.validation.parameters import Interval

_WEIGHTS = {
    "target_weight": Interval(float, 0, fix="Use 1.0, which was published."),
    "non_target_weight": Interval(
        float, 0, fix="Use 8.0, which was published."
    ),
}


@keras.saving.register_keras_serializable(package="keras_ft")
class DecoupledSoftTargets(SoftTargets):
    """`T^2 * (target_weight * TCKD + non_target_weight * NCKD)`.

    TCKD compares the probability of the target class, NCKD the probabilities
    of the other classes among themselves, which Hinton's divergence hides
    where the teacher is sure: see `losses.decoupled_divergence`.

    Two things differ from the paper on purpose. The target is the teacher's
    most probable class and not the label, so that images without labels take
    part; they differ where the teacher is wrong. And there is no warm-up: the
    authors let the term grow from 0 over the first 20 of 240 epochs, which a
    callback that assigns `beta` does, as below.

    Args:
        temperature: T, a finite number above 0.
        target_weight: Of TCKD, the paper's alpha, at least 0.
        non_target_weight: Of NCKD, the paper's beta, at least 0. The authors
            choose it for each pair of networks: 8 where nothing else is said,
            2 from ResNet-56 to ResNet-20 on CIFAR-100, 0.5 at T = 1 on
            ImageNet.
        beta: Weight of the whole term, as in every `Transfer`.
        standardize: Whether to compare z-scores of the logits, see
            `SoftTargets`.
        name: See `Transfer`.

    Raises:
        InputError: A number is out of range; the models as `SoftTargets`, or
            their outputs are labels that are a yes or no each.

    Example:

    >>> dkd = keras_ft.transfers.DecoupledSoftTargets(temperature=4.0)
    >>> model = keras_ft.Distiller(teacher, student, [dkd])
    >>> model.compile("sgd", loss)
    >>> warm_up = keras.callbacks.LambdaCallback(
    ...     on_epoch_begin=lambda epoch, logs: setattr(
    ...         dkd, "beta", min((epoch + 1) / 20, 1.0)
    ...     )
    ... )
    >>> history = model.fit(images, labels, callbacks=[warm_up])

    Reference:
        Zhao, Cui, Song, Qiu and Liang 2022, arXiv:2203.08679;
        megvii-research/mdistiller a08d46f.
    """

    term = "decoupled_soft_target"

    def __init__(
        self,
        temperature: float = 4.0,
        target_weight: float = 1.0,
        non_target_weight: float = 8.0,
        beta: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(temperature, beta, **kwargs)
        weights = (target_weight, non_target_weight)
        for name, weight in zip(_WEIGHTS, weights, strict=True):
            _WEIGHTS[name].check(name, weight)
        self.target_weight = float(target_weight)
        self.non_target_weight = float(non_target_weight)

    def check_binary(self) -> None:
        raise InputError(
            "transfers",
            "a DecoupledSoftTargets for outputs that are a yes or no each",
            "classes of which one is right",
            "Use SoftTargets: with two outcomes there are no other classes "
            "among themselves.",
        )

    def divergence(self, teacher: Any, student: Any) -> Any:
        return losses.decoupled_divergence(
            teacher,
            student,
            self.temperature,
            self.target_weight,
            self.non_target_weight,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "target_weight": self.target_weight,
            "non_target_weight": self.non_target_weight,
        }
