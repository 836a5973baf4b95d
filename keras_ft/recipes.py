"""Published training settings, complete, in code, with their sources."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import keras

from keras_ft import methods
from keras_ft.errors import InputError
from keras_ft.layers import Paraphraser
from keras_ft.models.paraphraser_trainer import ParaphraserTrainer
from keras_ft.optimizers import Schedule
from keras_ft.transfers.transfer import Transfer
from keras_ft.validation import parameters
from keras_ft.validation.parameters import Interval

SCHEDULES = ("recipe", "linear")
_TRAININGS = ("teacher", "paraphrase", "distill")


@dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of a distillation, Factor Transfer's above all.

    Attributes:
        name: Name of the preset it is, or was changed from.
        source: Where the values were read.
        teacher, paraphrase, distill: `Schedule` of each training.
        paraphrase_steps: Phase 1 takes at least so many steps, of a small
            data set in more epochs than `paraphrase` says: its passes over
            the images are no measure of how far a paraphraser is. In presets
            what was published for the size of data that it was published
            for; 0 for the epochs as they are. `in_epochs` puts it in.
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
        kd_temperature: T of the soft targets, above 0.
        kd_alpha: KD's mixture, 0 to 1: `(1 - alpha) * labels + alpha * soft
            targets`. Terms that are added to KD are added to this mixture.
        skd_temperature: T of the soft targets on z-scores, above 0.
        skd_task_weight: SKD's weight of the labels, at least 0.
        skd_beta: SKD's weight of those soft targets, at least 0.
        dkd_temperature: T of the decoupled soft targets, above 0.
        dkd_target_weight: Of the target class, DKD's alpha, at least 0.
        dkd_non_target_weight: Of the other classes, DKD's beta, at least 0.
        at_beta: Weight of each attention map's term, at least 0.
        fitnet_beta: Weight of the hint, at least 0.

    Raises:
        InputError: A weight is out of range.

    Example:

    >>> recipe = keras_ft.Recipe.preset("official")
    >>> recipe.beta, recipe.distill.epochs, recipe.paraphrase.epochs
    (500.0, 164, 6)
    >>> model = recipe.distiller(teacher, student, paraphraser)
    >>> model.compile(recipe.distill.optimizer(steps_per_epoch=391), loss)

    References:
        `source` of each preset; the other methods: `keras_ft.methods`.
    """

    name: str
    source: str
    teacher: Schedule
    paraphrase: Schedule
    distill: Schedule
    rate: float = 0.5
    rounding: str = "round"
    beta: float = 500.0
    p: int = 1
    reduction: str = "mean"
    form: str = "flat"
    reconstruction_loss: str = "l1"
    paraphraser_batch_normalization: bool = False
    translator_batch_normalization: bool = False
    kd_temperature: float = 4.0
    kd_alpha: float = 0.9
    at_beta: float = 1000.0
    fitnet_beta: float = 100.0
    skd_temperature: float = 2.0
    skd_task_weight: float = 0.1
    skd_beta: float = 9.0
    dkd_temperature: float = 4.0
    dkd_target_weight: float = 1.0
    dkd_non_target_weight: float = 8.0
    paraphrase_steps: int = 0

    def __post_init__(self) -> None:
        parameters.check(_CONSTRAINTS, vars(self))

    @classmethod
    def preset(cls, name: str) -> "Recipe":
        """Return the preset of that name; `Recipe.names()` lists them."""
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
        """Return the names of the presets."""
        return tuple(PRESETS)

    def replace(self, **changes: Any) -> "Recipe":
        """Return a copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def scheduled(
        self,
        *,
        epochs: int | None = None,
        paraphrase_epochs: int | None = None,
        paraphrase_steps: int | None = None,
        teacher_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        schedule: str = "recipe",
    ) -> "Recipe":
        """Return the recipe with other schedules; None leaves a value alone.

        Args:
            epochs: Of phase 2 and of every other training of a student.
            paraphrase_epochs: Of phase 1, whatever the steps.
            paraphrase_steps: Of phase 1, at least 1, in whole epochs: see
                `in_epochs`. Not with `paraphrase_epochs`.
            teacher_epochs: Of a teacher that is trained.
            batch_size: Images per step; of a teacher's training, too, where
                `teacher_epochs` are given.
            learning_rate: At the first step, likewise; phase 1 keeps its own.
            schedule: `"recipe"`: the published shape, whose milestones move
                in proportion to the epochs; or `"linear"`: every learning
                rate falls in a line to 0, which suits a few epochs better.
                The result then says `(short)` in its name.

        Raises:
            InputError: A value is out of range, or the length of phase 1 is
                given twice, or in steps where its milestones are epochs.
        """
        if schedule not in SCHEDULES:
            raise InputError(
                "schedule",
                repr(schedule),
                f"one of {', '.join(SCHEDULES)}",
                "Use 'linear' for a few epochs.",
            )
        shape = "linear" if schedule == "linear" else None
        student: dict[str, Any] = {
            "batch_size": batch_size,
            "learning_rate": learning_rate,
        }
        teacher = student if teacher_epochs is not None else {}
        steps = self._steps(paraphrase_epochs, paraphrase_steps, shape)
        if paraphrase_steps is not None:
            paraphrase_epochs = 1
        changed = {
            "paraphrase_steps": steps,
            "teacher": self.teacher.changed(
                epochs=teacher_epochs, shape=shape, **teacher
            ),
            "paraphrase": self.paraphrase.changed(
                epochs=paraphrase_epochs, shape=shape, batch_size=batch_size
            ),
            "distill": self.distill.changed(
                epochs=epochs, shape=shape, **student
            ),
        }
        name = self.name
        if shape is not None and not name.endswith(" (short)"):
            name += " (short)"
        return self.replace(name=name, **changed)

    def _steps(
        self, epochs: int | None, steps: int | None, shape: str | None
    ) -> int:
        """Return the `paraphrase_steps` of a recipe scheduled otherwise."""
        if steps is None:
            return self.paraphrase_steps if epochs is None else 0
        _STEPS.check("paraphrase_steps", steps)
        if epochs is not None:
            raise InputError(
                "paraphrase_steps",
                f"{steps} with paraphrase_epochs {epochs}",
                "one of the two",
                "Leave out one of them.",
            )
        own = self.paraphrase
        reached = [m for m in own.milestones if m < own.epochs]
        if reached and (shape or own.shape) == "step":
            raise InputError(
                "paraphrase_steps",
                f"{steps} for a phase 1 whose learning rate drops after "
                f"epoch {reached[0]} of {own.epochs}",
                "a schedule without drops",
                "Use paraphrase_epochs, or schedule='linear'.",
            )
        return steps

    def in_epochs(self, steps_per_epoch: int) -> "Recipe":
        """Return the recipe with phase 1 in epochs of so many steps.

        `max(paraphrase.epochs, ceil(paraphrase_steps / steps_per_epoch))` of
        them, the milestones in proportion. The commands do this for their
        data.

        Args:
            steps_per_epoch: Batches in an epoch of phase 1, at least 1.

        Raises:
            InputError: `steps_per_epoch` is below 1.

        Example:

        >>> recipe = keras_ft.Recipe.preset("official")
        >>> recipe.in_epochs(391).paraphrase.epochs  # CIFAR-10
        6
        >>> recipe.in_epochs(36).paraphrase.epochs  # 4,500 images
        66
        """
        _STEPS.check("steps_per_epoch", steps_per_epoch)
        enough = math.ceil(self.paraphrase_steps / steps_per_epoch)
        epochs = max(self.paraphrase.epochs, enough)
        return self.replace(
            paraphrase=self.paraphrase.changed(epochs=epochs),
            paraphrase_steps=0,
        )

    def short(
        self,
        paraphrase_epochs: int,
        distill_epochs: int,
        teacher_epochs: int | None = None,
    ) -> "Recipe":
        """Return the recipe cut short, learning rates falling linearly to 0.

        The drops of a long schedule make no sense in a few epochs. The result
        says in `name` that it is not the published setting.
        """
        return self.scheduled(
            epochs=distill_epochs,
            paraphrase_epochs=paraphrase_epochs,
            teacher_epochs=teacher_epochs,
            schedule="linear",
        )

    def paraphraser(self) -> Paraphraser:
        """Return an untrained paraphraser of this recipe."""
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
        """Return the model of phase 1, not compiled."""
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
        paraphraser: Paraphraser | None = None,
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
        also: tuple[Transfer, ...] = (),
        acceleration: str = "auto",
        method: str = "ft",
    ) -> keras.Model:
        """Return the model of phase 2, not compiled.

        Args:
            teacher: A trained model, or a `FeatureCache`'s `teacher`.
            student: Built, with its initial weights.
            paraphraser: Trained, for methods with a factor term.
            teacher_layer_name, student_layer_name: Taps of the factor term;
                None for the last feature maps.
            also: Further terms of your own.
            acceleration: `"auto"` or `"none"`, see `Distiller`.
            method: `"none"`, `"kd"`, `"skd"`, `"dkd"`, `"at"`, `"fitnet"`,
                `"ft"`, or a sum such as `"ft+kd"`; see `keras_ft.methods`.

        Returns:
            A `FactorTransfer`, a `Distiller`, or for `"none"` the student.
        """
        pairs = methods.tap_pairs(
            [methods.parse(method)],
            teacher,
            student,
            teacher_layer_name,
            student_layer_name,
        )
        return methods.build(
            method,
            self,
            teacher,
            student,
            paraphraser,
            methods.names_of(pairs),
            acceleration,
            also,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, for a run folder's settings."""
        content = dataclasses.asdict(self)
        # Left out where it is the published one: earlier run folders go on.
        for name in ("reduction", *_CONSTRAINTS):
            if content[name] == getattr(type(self), name):
                del content[name]
        return content

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """Return the recipe that `to_dict` was called on.

        Raises:
            InputError: A value is missing, unknown or of another type.
        """
        try:
            schedules = {
                name: Schedule.from_dict(values[name]) for name in _TRAININGS
            }
            return cls(**{**values, **schedules})
        except (KeyError, TypeError) as error:
            raise InputError(
                "recipe",
                f"one that is not whole ({error})",
                "what Recipe.to_dict returned",
                "Restore the file it is from.",
            ) from error


_STEPS = Interval(int, 1, fix="Use 2346, the official setting.")
# The weights of the methods beside Factor Transfer.
_CONSTRAINTS = {
    "paraphrase_steps": Interval(
        int, 0, fix="Use 0 for the epochs of the schedule."
    ),
    "kd_temperature": Interval(
        float, 0, closed="neither", fix="Use 4.0, which was published."
    ),
    "kd_alpha": Interval(float, 0, 1, fix="Use 0.9, which was published."),
    "at_beta": Interval(float, 0, fix="Use 1000.0, which was published."),
    "fitnet_beta": Interval(float, 0, fix="Use 100.0, which was published."),
    "skd_temperature": Interval(
        float, 0, closed="neither", fix="Use 2.0, which was published."
    ),
    "skd_task_weight": Interval(float, 0, fix="Use 0.1, which was published."),
    "skd_beta": Interval(float, 0, fix="Use 9.0, which was published."),
    "dkd_temperature": Interval(
        float, 0, closed="neither", fix="Use 4.0, which was published."
    ),
    "dkd_target_weight": Interval(
        float, 0, fix="Use 1.0, which was published."
    ),
    "dkd_non_target_weight": Interval(
        float, 0, fix="Use 8.0, which was published."
    ),
}

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
    paraphrase_steps=6 * 391,  # of 50,000 images
    distill=_OFFICIAL_BACKBONE,
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
    paraphrase_steps=30 * 782,  # of 50,000 images
    distill=_REPDISTILLER,
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
    paraphrase_steps=5005,  # an epoch of 1,281,167 images
    distill=_TORCHDISTILL,
    rounding="floor",
    beta=1000.0,
    reconstruction_loss="l2",
)

PRESETS = {
    recipe.name: recipe
    for recipe in (OFFICIAL, PAPER, REPDISTILLER, TORCHDISTILL)
}
