"""Factor Transfer as one model: teacher, paraphraser, translator, student."""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.layers.paraphraser import Paraphraser
from keras_ft.layers.translator import Translator
from keras_ft.models.distiller import Distiller
from keras_ft.transfers.factor_match import FactorMatch
from keras_ft.transfers.transfer import Transfer


@keras.saving.register_keras_serializable(package="keras_ft")
class FactorTransfer(Distiller):
    """Distill a teacher into a student through their factors.

    `loss = compiled loss + beta * mean(|F_T/||F_T||_2 - F_S/||F_S||_2|^p)`,
    the mean over the factor's entries unless `reduction` says otherwise.

    F_T is the frozen paraphraser's code of the teacher's features, F_S the
    translator's image of the student's features. Student and translator train
    together, teacher and paraphraser never change, and the student alone is
    what you keep.

    Args:
        teacher: A trained Functional or Sequential model.
        student: A built Functional or Sequential model; it may have other
            channels and another depth than the teacher.
        paraphraser: A `Paraphraser` trained on this teacher and tap by
            `ParaphraserTrainer`.
        translator: A `Translator`; None makes one that fits.
        teacher_layer_name: Tap in the teacher; None means its last learned
            feature map. Must be the tap of phase 1.
        student_layer_name: Tap in the student; None as above.
        beta: Weight of the factor term, at least 0. Its scale depends on the
            factor's size; 500 is official for factors of 32x8x8 entries.
            `suggest_beta` measures one.
        p: 1 (official) or 2.
        reduction: `"mean"` over the factor's D entries (official), about
            `1.13/sqrt(D)` for unrelated factors; `"sum"`; or `"relative"`,
            the mean over its largest value, the same for every D. 500 for a
            mean over 32x8x8 entries is 22.1 for `"relative"`.
        also: Further transfers to add, for example `SoftTargets` for FT+KD or
            a second `FactorMatch` with its own tap, rate and beta.
        name: Model name.
        acceleration: `"none"` or `"auto"`; see `Distiller`.

    Logged: `loss`, `task_loss`, `factor_loss` (without beta), further terms,
    `regularization_loss`, and the compiled metrics of the student.

    Raises:
        InputError: Bad models or arguments, at construction; bad data, before
            the first update.

    Example:

    >>> model = keras_ft.FactorTransfer(teacher, student, paraphraser)
    >>> model.compile(
    ...     keras.optimizers.SGD(0.1, momentum=0.9),
    ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ...     metrics=["accuracy"],
    ... )
    >>> history = model.fit(images, labels, epochs=20)
    >>> model.student.save("student.keras")

    Reference:
        Kim, Park and Kwak 2018, arXiv:1802.04977;
        Jangho-Kim/Factor-Transfer-pytorch.
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        paraphraser: Paraphraser,
        translator: Translator | None = None,
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
        beta: float = 500.0,
        p: int = 1,
        also: Sequence[Transfer] = (),
        name: str | None = None,
        acceleration: str = "auto",
        reduction: str = "mean",
    ) -> None:
        factor = FactorMatch(
            paraphraser,
            translator,
            beta=beta,
            p=p,
            reduction=reduction,
            teacher_layer_name=teacher_layer_name,
            student_layer_name=student_layer_name,
        )
        super().__init__(
            teacher,
            student,
            [factor, *also],
            name=name,
            acceleration=acceleration,
        )

    @property
    def factor(self) -> FactorMatch:
        """Return the factor term."""
        return self.transfers[0]

    @property
    def paraphraser(self) -> Paraphraser:
        """Return the frozen paraphraser."""
        return self.factor.paraphraser

    @property
    def translator(self) -> Translator:
        """Return the translator that trains with the student."""
        return self.factor.translator

    @property
    def beta(self) -> Any:
        """Weight of the factor term, a variable; assign to change it."""
        return self.factor.beta

    @beta.setter
    def beta(self, value: float) -> None:
        if keras.backend.backend() == "jax":
            # Within an epoch the state lives outside of the variables, and
            # would overwrite the new value.
            self.jax_state_sync()
        self.factor.beta = value

    def _given_layers(self) -> Iterator[tuple[str, keras.layers.Layer]]:
        for argument, layer in super()._given_layers():
            yield argument.removeprefix("transfers[0]."), layer

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        factor, *also = config.pop("transfers")
        config.pop("task_weight")
        keys = (
            "paraphraser",
            "translator",
            "teacher_layer_name",
            "student_layer_name",
            "beta",
            "p",
            "reduction",
        )
        own = {key: factor["config"][key] for key in keys}
        return {**config, **own, "also": also}

    def __dir__(self) -> list[str]:
        # Saved through `transfers`; listed here they would be saved first
        # under a second path.
        aliases = {"factor", "paraphraser", "translator"}
        return [name for name in super().__dir__() if name not in aliases]
