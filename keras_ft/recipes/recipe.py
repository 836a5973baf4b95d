"""Every hyper-parameter of a training, and what is made from them."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras

from keras_ft.distiller import Distiller
from keras_ft.errors import InputError
from keras_ft.factor_transfer import FactorTransfer
from keras_ft.layers import Paraphraser
from keras_ft.layers import Translator
from keras_ft.paraphraser_trainer import ParaphraserTrainer
from keras_ft.schedule import Schedule
from keras_ft.transfers import FactorMatch
from keras_ft.transfers.transfer import Transfer


@dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of a Factor Transfer training.

    Attributes:
        name: Name of the preset it is, or was changed from.
        source: Where the values were read.
        teacher, paraphrase, distil: `Schedule` of each training.
        rate: The paper's k, channels of the factor per feature channel.
        rounding: `"round"` or `"floor"` of `rate * channels`.
        beta: Weight of the factor term.
        p: Norm of the factor term.
        reduction: `"mean"` over the factor's entries, as in all presets,
            `"sum"` or `"relative"`: see `losses.factor_distance`. A beta
            belongs to one of them.
        form: `"flat"` (the paper) or `"attention"` (RepDistiller).
        reconstruction_loss: `"l1"` or `"l2"`, both means over entries.
        paraphraser_batch_normalization: Batch normalization in the
            paraphraser.
        translator_batch_normalization: Batch normalization in the translator.

    Example:

    >>> recipe = keras_ft.Recipe.preset("official")
    >>> recipe.beta, recipe.distil.epochs, recipe.paraphrase.epochs
    (500.0, 164, 6)
    >>> model = recipe.distiller(teacher, student, paraphraser)
    >>> model.compile(recipe.distil.optimizer(steps_per_epoch=391), loss)
    """

    name: str
    source: str
    teacher: Schedule
    paraphrase: Schedule
    distil: Schedule
    rate: float = 0.5
    rounding: str = "round"
    beta: float = 500.0
    p: int = 1
    reduction: str = "mean"
    form: str = "flat"
    reconstruction_loss: str = "l1"
    paraphraser_batch_normalization: bool = False
    translator_batch_normalization: bool = False

    @classmethod
    def preset(cls, name: str) -> "Recipe":
        """The preset of that name; `Recipe.names()` lists them."""
        from keras_ft.recipes.presets import PRESETS

        if name not in PRESETS:
            raise InputError(
                "recipe",
                repr(name),
                f"one of {', '.join(PRESETS)}",
                "Use 'official', the authors' code.",
            )
        return PRESETS[name]

    @staticmethod
    def names() -> tuple[str, ...]:
        """Names of the presets."""
        from keras_ft.recipes.presets import PRESETS

        return tuple(PRESETS)

    def replace(self, **changes: Any) -> "Recipe":
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def short(
        self,
        paraphrase_epochs: int,
        distil_epochs: int,
        teacher_epochs: int | None = None,
    ) -> "Recipe":
        """The same recipe cut short, learning rates falling linearly to 0.

        The drops of a long schedule make no sense in a few epochs. The result
        says in `name` that it is not the published setting.
        """
        teacher = self.teacher.linear(teacher_epochs or self.teacher.epochs)
        return self.replace(
            name=f"{self.name} (short)",
            teacher=teacher,
            paraphrase=self.paraphrase.linear(paraphrase_epochs),
            distil=self.distil.linear(distil_epochs),
        )

    def paraphraser(self) -> Paraphraser:
        """An untrained paraphraser of this recipe."""
        return Paraphraser(
            rate=self.rate,
            rounding=self.rounding,
            batch_normalization=self.paraphraser_batch_normalization,
        )

    def paraphraser_trainer(
        self,
        teacher: keras.Model,
        paraphraser: Paraphraser,
        teacher_layer_name: str | None = None,
        acceleration: str = "auto",
    ) -> ParaphraserTrainer:
        """The model of phase 1, not compiled."""
        return ParaphraserTrainer(
            teacher,
            paraphraser,
            teacher_layer_name=teacher_layer_name,
            loss=self.reconstruction_loss,
            acceleration=acceleration,
        )

    def distiller(
        self,
        teacher: keras.Model,
        student: keras.Model,
        paraphraser: Paraphraser,
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
        also: tuple[Transfer, ...] = (),
        acceleration: str = "auto",
    ) -> Distiller:
        """The model of phase 2, not compiled."""
        translator = Translator(
            batch_normalization=self.translator_batch_normalization
        )
        shared: dict[str, Any] = {
            "beta": self.beta,
            "p": self.p,
            "reduction": self.reduction,
            "teacher_layer_name": teacher_layer_name,
            "student_layer_name": student_layer_name,
        }
        if self.form == "flat":
            models = teacher, student, paraphraser, translator
            shared |= {"also": also, "acceleration": acceleration}
            return FactorTransfer(*models, **shared)
        match = FactorMatch(paraphraser, translator, form=self.form, **shared)
        return Distiller(
            teacher, student, [match, *also], acceleration=acceleration
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for a run folder's configuration."""
        content = dataclasses.asdict(self)
        # Left out where it is the published one: earlier run folders go on.
        if self.reduction == "mean":
            del content["reduction"]
        return content

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """The inverse of `to_dict`."""
        schedules = {
            key: Schedule.from_dict(values[key])
            for key in ("teacher", "paraphrase", "distil")
        }
        return cls(**{**values, **schedules})
