"""Published training settings, complete, in code, with their sources."""

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
    >>> model.compile(recipe.distil.optimizer(steps_per_epoch=391), ...)
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
    form: str = "flat"
    reconstruction_loss: str = "l1"
    paraphraser_batch_normalization: bool = False
    translator_batch_normalization: bool = False

    @classmethod
    def preset(cls, name: str) -> "Recipe":
        """The preset of that name; `Recipe.names()` lists them."""
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
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """The inverse of `to_dict`."""
        schedules = {
            key: Schedule.from_dict(values[key])
            for key in ("teacher", "paraphrase", "distil")
        }
        return cls(**{**values, **schedules})


_OFFICIAL_BACKBONE = Schedule(
    epochs=164,
    batch_size=128,
    learning_rate=0.1,
    weight_decay=5e-4,
    milestones=(82, 123),
)

OFFICIAL = Recipe(
    name="official",
    source="Jangho-Kim/Factor-Transfer-pytorch 19cce26, CIFAR-10",
    teacher=_OFFICIAL_BACKBONE,
    # range(0, 5 + 1) epochs; its milestones 150 and 225 are never reached.
    paraphrase=Schedule(
        epochs=6,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=5e-4,
        milestones=(150, 225),
    ),
    distil=_OFFICIAL_BACKBONE,
)

PAPER = OFFICIAL.replace(
    name="paper",
    source="arXiv:1802.04977, equations as quoted by three implementations; "
    "learning rate from an implementer's note that L2 at 0.1 diverges",
    paraphrase=dataclasses.replace(OFFICIAL.paraphrase, learning_rate=0.01),
    reconstruction_loss="l2",
)

_REPDISTILLER = Schedule(
    epochs=240,
    batch_size=64,
    learning_rate=0.05,
    weight_decay=5e-4,
    milestones=(150, 180, 210),
)

REPDISTILLER = Recipe(
    name="repdistiller",
    source="HobbitLong/RepDistiller b84f547, CIFAR-100; not the paper's "
    "factor: it compares attention maps of the factors",
    teacher=_REPDISTILLER,
    paraphrase=Schedule(
        epochs=30, batch_size=64, learning_rate=0.01, weight_decay=5e-4
    ),
    distil=_REPDISTILLER,
    rounding="floor",
    beta=200.0,
    form="attention",
    reconstruction_loss="l2",
    translator_batch_normalization=True,
)

_TORCHDISTILL = Schedule(
    epochs=90,
    batch_size=256,
    learning_rate=0.1,
    weight_decay=1e-4,
    milestones=(30, 60),
)

TORCHDISTILL = Recipe(
    name="torchdistill",
    source="yoshitomo-matsubara/torchdistill 3e4373c, ImageNet "
    "ResNet-34 > ResNet-18",
    teacher=_TORCHDISTILL,
    paraphrase=Schedule(
        epochs=1, batch_size=256, learning_rate=0.01, weight_decay=1e-4
    ),
    distil=_TORCHDISTILL,
    rounding="floor",
    beta=1000.0,
    reconstruction_loss="l2",
)

PRESETS = {
    recipe.name: recipe
    for recipe in (OFFICIAL, PAPER, REPDISTILLER, TORCHDISTILL)
}
