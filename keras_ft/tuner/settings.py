"""Everything that decides what a search finds."""

import dataclasses
import math
from typing import Any

from keras_ft import methods
from keras_ft.acceleration.acceleration import check_choice
from keras_ft.data import augmentation
from keras_ft.data.load_settings import resolve_image_size
from keras_ft.errors import InputError
from keras_ft.experiments.settings import OPTIONAL_OF_LOAD
from keras_ft.experiments.settings import check_names
from keras_ft.experiments.settings import check_pixels
from keras_ft.experiments.settings import optional_of_load
from keras_ft.recipes import Recipe
from keras_ft.tuner import space
from keras_ft.tuner.checks import OBJECTIVES
from keras_ft.tuner.space import Axis
from keras_ft.tuner.space import LogRange
from keras_ft.zoo import network_names

AXES = (
    "rates",
    "betas",
    "ps",
    "learning_rates",
    "temperatures",
    "kd_weights",
)
# keras-tuner's default, which `tune` uses.
_HYPERBAND_FACTOR = 3
TUNERS = ("random", "grid", "bayesian", "hyperband")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of a search; together with the code they fix its result.

    Args:
        recipe: Schedules of the phases, and what is not searched.
        method: How students are trained, see `FactorTransferHyperModel`.
        tuner: `"random"`, `"grid"`, `"bayesian"` or `"hyperband"`.
        max_trials: Trials at most; `None` for all of a grid, for 10 of a
            random or bayesian search. Hyperband decides itself. Not part of
            `configuration`: a finished search can be continued with more.
        objective: `"val_accuracy"` or `"val_task_loss"`.
        rates, betas, ps, learning_rates, temperatures, kd_weights: See
            `FactorTransferHyperModel`.
        views: Differently augmented epochs in the feature cache.
        dataset: A name that `data.load` knows.
        data_dir: Where prepared datasets are. Not part of `configuration`.
        train_examples: Use only so many training images; `None` for all.
        labelled_examples, unlabelled, labelled_share: Train on labelled and
            unlabelled images, see `data.load`.
        image_size: (height, width) to resize all images to, or one number
            for both; `None` keeps their size.
        class_weights: `"balanced"` lets all classes count alike in the loss on
            the labels; the teacher's terms are as they were.
        skip_unreadable: Go on without damaged files of a folder.
        validation_fraction: Share of the training images kept for
            validation, 0 to 1; the objective is measured on them.
        augment: See `experiments.Settings`.
        seed: Of the search, of initial weights, order and augmentation.
        teacher: A `.keras` file, a run folder, or a shipped teacher's name.
        pixels: What the teacher takes pixels as, see `experiments.Settings`.
        student: A name of the zoo or of `keras.applications`, or a `.keras`
            file to start from.
        weights: Of a student of `keras.applications`: `"imagenet"`, or `None`
            for fresh ones.
        teacher_layer: Tap of the teacher; `None` for the last feature map.
        student_layer: Tap of the student; `None` for the last feature map.
        acceleration: `"auto"` or `"none"`, see `Distiller`.

    Raises:
        InputError: A name or number is outside what is listed above.

    Example:

    >>> recipe = keras_ft.Recipe.preset("official").short(2, 6)
    >>> settings = keras_ft.tuner.SearchSettings(recipe=recipe, tuner="grid")
    """

    recipe: Recipe
    method: str = "ft"
    tuner: str = "grid"
    max_trials: int | None = None
    objective: str = "val_accuracy"
    rates: Axis | None = space.RATES
    betas: Axis | None = None
    ps: Axis | None = None
    learning_rates: Axis | None = None
    temperatures: Axis | None = None
    kd_weights: Axis | None = None
    views: int = 8
    dataset: str = "fashion_mini"
    data_dir: str | None = None
    train_examples: int | None = None
    labelled_examples: int | None = None
    unlabelled: str | None = None
    labelled_share: float | None = None
    image_size: int | tuple[int, int] | None = None
    class_weights: str | None = None
    skip_unreadable: bool = False
    validation_fraction: float = 0.1
    augment: str | bool = True
    seed: int = 0
    teacher: str = "fashion_mini"
    pixels: str | None = None
    student: str = "resnet8"
    weights: str | None = "imagenet"
    teacher_layer: str | None = None
    student_layer: str | None = None
    acceleration: str = "auto"

    def __post_init__(self) -> None:
        augment = augmentation.resolve(self.augment, self.dataset)
        object.__setattr__(self, "augment", augment)
        size = resolve_image_size(self.image_size)
        object.__setattr__(self, "image_size", size)
        for argument, known in (("tuner", TUNERS), ("objective", OBJECTIVES)):
            if getattr(self, argument) not in known:
                raise InputError(
                    argument,
                    repr(getattr(self, argument)),
                    f"one of {', '.join(known)}",
                    f"Use '{next(iter(known))}'.",
                )
        check_choice(self.acceleration)
        check_pixels(self.pixels)
        check_names(self.teacher, self.student, self.weights)
        if network_names.backbone(self.teacher) is not None:
            raise InputError(
                "teacher",
                repr(self.teacher),
                "a finished teacher",
                f"Run `keras-ft train_teacher --network={self.teacher}` and "
                "name its run folder.",
            )
        method = methods.parse(self.method)
        of_factors = [
            name
            for name in ("rates", "betas", "ps")
            if getattr(self, name) is not None
        ]
        if of_factors and not method.has("ft"):
            raise InputError(
                "method",
                f"{method.name!r}, with {' and '.join(of_factors)} to search",
                "a sum with ft, whose numbers these are",
                f"Use method='ft+{method.name}', or None for them.",
            )
        if self.seed < 0:
            raise InputError("seed", self.seed, "0 or more", "Use 0.")
        if all(getattr(self, name) is None for name in AXES):
            raise InputError(
                ", ".join(AXES),
                "None for each",
                "something to search",
                f"Use rates={space.RATES}.",
            )
        if self.tuner == "grid":
            self._check_grid()
        if self.tuner == "hyperband":
            self._check_hyperband()
        if self.max_trials is not None:
            self._check_max_trials(self.max_trials)
        if self.validation_fraction == 0:
            raise InputError(
                "validation_fraction",
                0,
                "a share above 0",
                "A search that looks at the test images has none left.",
            )

    def _check_grid(self) -> None:
        for name in AXES:
            axis = getattr(self, name)
            if isinstance(axis, LogRange):
                raise InputError(
                    name,
                    axis,
                    "single values, of which a grid is made",
                    "List them, or use another tuner.",
                )

    def _check_hyperband(self) -> None:
        """Refuse what keras-tuner ends after the first, shortest round."""
        axes = [getattr(self, name) for name in AXES]
        if any(isinstance(axis, LogRange) for axis in axes):
            return
        known = math.prod(len(set(axis)) for axis in axes if axis is not None)
        asked = first_round(self.recipe.distill.epochs)
        if known < asked:
            raise InputError(
                "tuner",
                f"'hyperband' for {known} trials that differ",
                f"at least {asked}, which it begins with for "
                f"{self.recipe.distill.epochs} epochs",
                "Search a range, as in betas=LogRange(50, 5000), or use "
                "tuner='grid'.",
            )

    def _check_max_trials(self, number: int) -> None:
        if self.tuner == "hyperband":
            raise InputError(
                "max_trials",
                number,
                "nothing with hyperband",
                "Hyperband derives its trials from the epochs.",
            )
        if number < 1:
            raise InputError("max_trials", number, "1 or more", "Use 10.")

    def configuration(self) -> dict[str, Any]:
        """Return JSON values for `run.json`."""
        content = dataclasses.asdict(self)
        del content["data_dir"], content["max_trials"]
        if isinstance(self.image_size, tuple):
            content["image_size"] = list(self.image_size)  # As JSON has it.
        # Left out where they play no part: earlier searches go on.
        for name in set(OPTIONAL_OF_LOAD) - set(optional_of_load(content)):
            del content[name]
        if self.pixels is None:
            del content["pixels"]
        if network_names.backbone(self.student) is None:
            del content["weights"]
        content |= {"command": "tune", "recipe": self.recipe.to_dict()}
        return augmentation.in_configuration(content)


def first_round(epochs: int, factor: int = _HYPERBAND_FACTOR) -> int:
    """Return the trials in the first round of Hyperband's first bracket.

    Where there are fewer that differ, its oracle ends the search after that
    round, with students of an epoch or two.

    Args:
        epochs: Of the longest trials, `max_epochs`.
        factor: By which rounds get longer and fewer.

    Reference:
        keras_tuner 1.4, tuners/hyperband.py, `HyperbandOracle._get_size`.
    """
    last = 0
    while epochs / factor ** (last + 1) >= 1:
        last += 1
    at_the_end = math.ceil(1 + math.log(epochs, factor)) / (last + 1)
    return math.ceil(at_the_end * factor**last)
