"""Everything that decides what a run produces."""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from keras_ft import methods
from keras_ft.acceleration.acceleration import check_choice
from keras_ft.data import augmentation
from keras_ft.data.load_settings import resolve_image_size
from keras_ft.data.normalization import RANGES
from keras_ft.errors import InputError
from keras_ft.export.quantizations import QUANTIZATIONS
from keras_ft.models.beta_suggestion import check_ratio
from keras_ft.recipes import Recipe
from keras_ft.validation.parameters import OneOf
from keras_ft.zoo import network_names

# The arguments of `data.load` that few runs need. Where one plays no part it
# is left out of a configuration, so that earlier run folders go on.
OPTIONAL_OF_LOAD = (
    "labelled_examples",
    "unlabelled",
    "labelled_share",
    "image_size",
    "class_weights",
    "skip_unreadable",
)


def optional_of_load(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the settings that few runs need, where they are set."""
    return {
        name: settings[name]
        for name in OPTIONAL_OF_LOAD
        if settings.get(name) is not None and settings[name] is not False
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a run; together with the code they fix its result.

    Args:
        recipe: Schedules of the phases, and the weights of the methods.
        methods: How to train the student, see `keras_ft.methods`: the first
            one's is exported, the others are the same student trained
            otherwise, for comparison. `"none"` is labels only.
        dataset: A name that `data.load` knows.
        data_dir: Where prepared datasets are. Not part of `configuration`.
        train_examples: Use only so many training images; `None` for all.
        labelled_examples, unlabelled, labelled_share: Train on labelled and
            unlabelled images, see `data.load`. `"none"` trains on the
            labelled ones alone, in as many steps.
        image_size: (height, width) to resize all images to, or one number
            for both; `None` keeps their size.
        class_weights: `"balanced"` lets all classes count alike in the loss on
            the labels; the teacher's terms are as they were.
        skip_unreadable: Go on without damaged files of a folder.
        validation_fraction: Share of the training images kept for
            validation, 0 to 1.
        augment: See `data.load`; kept as it was understood, so that the
            data set's default has a name here and in `configuration`.
        seed: Of initial weights, order and augmentation, >= 0.
        teacher: A `.keras` file, a run folder, the name of a shipped
            teacher, or one of `keras.applications`, see `zoo.backbone`: the
            run fits a head for the dataset and then fine-tunes the network.
            `None` trains `teacher_network` first.
        pixels: What the teacher takes pixels 0..255 as: `"raw"`, `"0..1"`,
            `"-1..1"`, `"imagenet"` (its mean and deviation) or `"dataset"`
            (the dataset's). `None` finds it: as noted when it was trained,
            raw for one that rescales inside, else by trying all of them.
        teacher_network: Zoo name of the teacher to train.
        student: A name of the zoo or of `keras.applications`, or a `.keras`
            file to start from.
        weights: What networks of `keras.applications` start from:
            `"imagenet"`, or `None` for fresh weights.
        head_epochs: Epochs that a teacher of `keras.applications` trains its
            head for, at least 1; all else is frozen. `None` for 10, or more
            where they have few steps, see `fine_tuning`.
        fine_tuning_epochs: Epochs for the whole of it after that, at a low
            rate, at least 1; `None` for 5, or more likewise.
        teacher_layer: Tap of the teacher; `None` for the last feature map.
        student_layer: Tap of the student; `None` for the last feature map.
        acceleration: `"auto"` or `"none"`, see `Distiller`. Of both phases,
            not of training without a teacher.
        views: Run the teacher over so many differently augmented epochs
            once, at least 1, and train from a `FeatureCache` of them; `None`
            runs it in every step.
        paraphrase_views: Train phase 1 from a `FeatureCache` of so many views,
            at least 1, where both phases have none of `views`; `None` runs
            the teacher in every step.
        beta_ratio: Choose the factor term's beta by `suggest_beta` with this
            ratio, above 0, on the first batch, which `students.measure_beta`
            does and `run.json` notes; `None` uses the recipe's.
        quantizations: Formats of the `.tflite` files, see `export.to_tflite`.

    Raises:
        InputError: A name or number is outside what is listed above.
    """

    recipe: Recipe
    methods: tuple[str, ...] = ("ft",)
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
    teacher: str | None = None
    pixels: str | None = None
    teacher_network: str | None = None
    student: str = "resnet20"
    weights: str | None = "imagenet"
    head_epochs: int | None = None
    fine_tuning_epochs: int | None = None
    teacher_layer: str | None = None
    student_layer: str | None = None
    quantizations: tuple[str, ...] = ("none",)
    acceleration: str = "auto"
    beta_ratio: float | None = None
    views: int | None = None
    paraphrase_views: int | None = None

    def __post_init__(self) -> None:
        augment = augmentation.resolve(self.augment, self.dataset)
        object.__setattr__(self, "augment", augment)
        size = resolve_image_size(self.image_size)
        object.__setattr__(self, "image_size", size)
        parsed = methods.parse_all(self.methods)
        object.__setattr__(self, "methods", tuple(m.name for m in parsed))
        for name in self.quantizations:
            if name not in QUANTIZATIONS:
                raise InputError(
                    "quantizations",
                    repr(name),
                    f"some of {', '.join(QUANTIZATIONS)}",
                    "Separate several by commas.",
                )
        check_choice(self.acceleration)
        check_pixels(self.pixels)
        if (self.teacher is None) == (self.teacher_network is None):
            raise InputError(
                "teacher",
                f"{self.teacher!r} with teacher_network "
                f"{self.teacher_network!r}",
                "exactly one of the two",
                "Name a finished teacher, or a network to train as teacher.",
            )
        check_names(self.teacher, self.student, self.weights)
        if self.teacher_network is not None:
            network_names.check("network", self.teacher_network)
            if network_names.backbone(self.teacher_network) is not None:
                raise InputError(
                    "teacher_network",
                    repr(self.teacher_network),
                    "a name of the zoo",
                    f"Use teacher={self.teacher_network!r}, which fits it.",
                )
        for name in ("head_epochs", "fine_tuning_epochs"):
            epochs = getattr(self, name)
            if epochs is not None and epochs < 1:
                raise InputError(name, epochs, "1 or more", "Use 5.")
        if self.seed < 0:
            raise InputError("seed", self.seed, "0 or more", "Use 0.")
        if self.beta_ratio is not None:
            check_ratio("beta_ratio", self.beta_ratio)
        for name in ("views", "paraphrase_views"):
            views = getattr(self, name)
            if views is not None and views < 1:
                raise InputError(name, views, "1 or more", "Use 8.")
        if self.views is not None:
            check_one_batch_size("views", self.recipe)

    def in_epochs(self, load: Callable[[int], Any]) -> "Settings":
        """Return the settings with phase 1 in epochs of their data.

        Where no method has a phase 1 its schedule stays as it is.

        Args:
            load: Returns the dataset for a batch size; see `datasets.Loader`.
        """
        recipe = self.recipe
        if not recipe.paraphrase_steps:
            return self
        if any(method.has("ft") for method in methods.parse_all(self.methods)):
            data = load(recipe.paraphrase.batch_size)
            recipe = recipe.in_epochs(data.steps_per_epoch)
        else:
            recipe = recipe.replace(paraphrase_steps=0)
        return dataclasses.replace(self, recipe=recipe)

    def configuration(self) -> dict[str, Any]:
        """Return JSON values for `run.json`: all but where the data lies."""
        fields = dataclasses.fields(self)
        content = {field.name: getattr(self, field.name) for field in fields}
        del content["data_dir"]
        content["recipe"] = self.recipe.to_dict()
        if isinstance(self.image_size, tuple):
            content["image_size"] = list(self.image_size)  # As JSON has it.
        # Left out where it plays no part: earlier run folders go on.
        for name in ("beta_ratio", "views", "paraphrase_views", "pixels"):
            if content[name] is None:
                del content[name]
        for name in set(OPTIONAL_OF_LOAD) - set(optional_of_load(content)):
            del content[name]
        sources = [self.teacher or "", self.student]
        known = [network_names.backbone(source) for source in sources]
        if known == [None, None]:
            del content["weights"]
        if known[0] is None:
            del content["head_epochs"], content["fine_tuning_epochs"]
        return augmentation.in_configuration(content)


def check_names(teacher: str | None, student: str, weights: str | None) -> None:
    """Refuse names that no network has, whether files are there or not."""
    for argument, source in (("teacher", teacher), ("student", student)):
        if source is not None:
            network_names.check(argument, source, missing_ok=True)
    if weights not in ("imagenet", None):
        raise InputError(
            "weights",
            repr(weights),
            "'imagenet', or None for fresh weights",
            "Leave it out.",
        )


def check_pixels(pixels: str | None) -> None:
    """Refuse what is no range of pixels."""
    if pixels is not None:
        OneOf(RANGES, fix="Leave it out to have it found.").check(
            "pixels", pixels
        )


def check_one_batch_size(argument: str, recipe: Recipe) -> None:
    """Refuse a recipe whose phases cannot share the teacher's outputs."""
    first, second = recipe.paraphrase.batch_size, recipe.distill.batch_size
    if first != second:
        raise InputError(
            argument,
            f"batches of {first} in phase 1 and of {second} in phase 2",
            "one size, as both phases share the teacher's outputs",
            "Set one batch size for both.",
        )
