"""The numbers of the methods beside Factor Transfer, with their sources."""

import dataclasses
import math
from typing import Any

from keras_ft.errors import InputError


@dataclasses.dataclass(frozen=True)
class MethodSettings:
    """Weights and temperature of the other methods.

    Those of Factor Transfer (rate, beta, p) are the recipe's.

    Args:
        kd_temperature: T of the soft targets, above 0.
        kd_alpha: KD's mixture, 0 to 1: `(1 - alpha) * labels + alpha * soft
            targets`. Where KD is added to other terms, they are added to this
            mixture.
        at_beta: Weight of each attention map's term.
        fitnet_beta: Weight of the hint.

    Raises:
        InputError: A number is out of its range.

    Example:

    >>> from keras_ft.comparison import MethodSettings
    >>> less = MethodSettings(at_beta=500.0)
    >>> less.at_beta, less.kd_temperature
    (500.0, 4.0)

    Reference:
        HobbitLong/RepDistiller b0722bc, scripts/run_cifar_distill.sh: KD with
        0.1 and 0.9, T = 4 (train_student.py), AT 1000, hint 100 at the middle
        of its feature maps. szagoruyko/attention-transfer 083a612, cifar.py:
        AT is summed over all groups and added to Hinton's mixture.
    """

    kd_temperature: float = 4.0
    kd_alpha: float = 0.9
    at_beta: float = 1000.0
    fitnet_beta: float = 100.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most, expected = math.inf, "a finite number of at least 0"
            if field.name == "kd_alpha":
                most, expected = 1.0, "a number from 0 to 1"
            zero = field.name == "kd_temperature" and value == 0
            if zero:
                expected = "a finite number above 0"
            if zero or not 0 <= value <= most or not math.isfinite(value):
                raise InputError(
                    field.name,
                    value,
                    expected,
                    f"Use {field.default}, which was published.",
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for a run folder's configuration."""
        return dataclasses.asdict(self)
