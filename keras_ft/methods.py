"""From a method's name to the model that trains its student.

A method is `"none"` (plain training on the labels), one of the terms `"kd"`,
`"skd"`, `"dkd"`, `"at"`, `"fitnet"`, `"ft"`, or a sum of them such as
`"ft+kd"`. Its loss is

    outputs + beta * FT + at_beta * (AT of every stage) + fitnet_beta * hint

where `outputs` is what the labels and the teacher's outputs ask for:

    (1 - kd_alpha) * labels + kd_alpha * KD                          with kd
    skd_task_weight * labels + skd_beta * SKD                        with skd
    labels + dkd_target_weight * TCKD + dkd_non_target_weight * NCKD with dkd
    labels                                                           else

with the weights of the `Recipe` and a temperature for each. SKD is KD on
z-scores of the logits, TCKD and NCKD are the two parts of decoupled KD. A
method holds at most one of the three. DKD's published warm-up, 20 of 240
epochs, is left out. Every command and every Python function that
takes a method builds it here; the command line, which must not wait for
Keras, keeps the names once more in `cli/flags.py`.

References:
    FT: Kim, Park, Kwak 2018, arXiv:1802.04977. KD, the mixture of 0.1 and 0.9
    at T = 4, the AT weight of 1000 and the hint of 100 at the middle stage:
    HobbitLong/RepDistiller b0722bc, scripts/run_cifar_distill.sh. AT over all
    groups, added to Hinton's mixture: szagoruyko/attention-transfer 083a612.
    SKD: Sun et al. 2024, arXiv:2403.01427; 0.1 and 9 at T = 2 for CIFAR-100:
    sunshangquan/logit-standardization-KD f6e5aa5. DKD: Zhao et al. 2022,
    arXiv:2203.08679; 1, 1 and 8 at T = 4: megvii-research/mdistiller a08d46f,
    mdistiller/engine/cfg.py.
"""

import re
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_ft import transfers
from keras_ft.errors import InputError
from keras_ft.features.taps import Tap
from keras_ft.features.taps import find_tap
from keras_ft.features.taps import taps as taps_of
from keras_ft.layers import Paraphraser
from keras_ft.layers import Translator
from keras_ft.models.distiller import Distiller
from keras_ft.models.factor_transfer import FactorTransfer
from keras_ft.transfers.transfer import Transfer

PLAIN = "none"
# The terms in the order in which a sum of them is written.
TITLES = {
    "ft": "FT",
    "fitnet": "FitNets",
    "at": "AT",
    "kd": "KD",
    "skd": "SKD",
    "dkd": "DKD",
}
# Those that compare the networks' outputs, at most one in a method.
SOFT_TARGETS = ("kd", "skd", "dkd")
# The columns of the paper's tables.
METHODS = ("none", "kd", "at", "fitnet", "ft", "ft+kd", "ft+at")
_STAGE = re.compile(r"stage\d+")

# The teacher's and the student's feature map of each term, by "factor",
# "hint", "attention_1", "attention_2", ...
Pairs = Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Method:
    """Hold the terms that train a student, keys of `TITLES`, or none."""

    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the name as flags, folders and files spell it."""
        return "+".join(self.parts) or PLAIN

    @property
    def title(self) -> str:
        """Return the name as tables and sentences spell it."""
        return "+".join(TITLES[part] for part in self.parts) or "plain"

    def has(self, part: str) -> bool:
        """Return whether the term is one of its own."""
        return part in self.parts

    @property
    def soft_targets(self) -> str | None:
        """Return which of `SOFT_TARGETS` is one of its terms, if any."""
        return next(filter(self.has, SOFT_TARGETS), None)


def parse(name: str, argument: str = "method") -> Method:
    """Return the method of a name; "kd+ft" is "ft+kd".

    Raises:
        InputError: There is no such method, or it has several of
            `SOFT_TARGETS`; `argument` is named.
    """
    words = name.split("+")
    if name == PLAIN:
        return Method(())
    if not set(words) <= set(TITLES) or len(set(words)) < len(words):
        raise InputError(
            argument,
            repr(name),
            f"{PLAIN}, or some of {', '.join(TITLES)} joined by +",
            f"Write --{argument}={','.join(METHODS)}."
            if argument == "methods"
            else "Write ft, or a sum such as ft+kd.",
        )
    if len(found := [part for part in SOFT_TARGETS if part in words]) > 1:
        raise InputError(
            argument,
            repr(name),
            f"at most one of {', '.join(SOFT_TARGETS)}, which compare the same "
            "outputs",
            f"Leave {' and '.join(found[:-1])} out.",
        )
    return Method(tuple(part for part in TITLES if part in words))


def parse_all(
    names: str | Iterable[str], argument: str = "methods"
) -> tuple[Method, ...]:
    """Return several methods, each once; one string has them split by commas.

    Raises:
        InputError: One does not exist, or there is none.
    """
    if isinstance(names, str):
        names = names.split(",")
    found = tuple(dict.fromkeys(parse(name, argument) for name in names))
    if not found:
        raise InputError(
            argument, "none at all", "at least one", f"Use {METHODS}."
        )
    return found


def use_outputs(methods: Iterable[Method]) -> bool:
    """Return whether one of the methods compares the networks' outputs."""
    return any(method.soft_targets for method in methods)


def build(
    method: str,
    recipe: Any,
    teacher: keras.Model | None,
    student: keras.Model,
    paraphraser: Paraphraser | None = None,
    pairs: Pairs | None = None,
    acceleration: str = "auto",
    also: Iterable[Transfer] = (),
) -> keras.Model:
    """Return the model that trains a student by a method, not compiled.

    Args:
        method: Its name.
        recipe: The `Recipe` whose weights are used.
        teacher: A trained model, or a `FeatureCache`'s `teacher`; not used by
            plain training.
        student: Built, with its initial weights.
        paraphraser: Trained, for methods with a factor term.
        pairs: Names of the feature maps to compare; see `tap_pairs`, which
            finds them if they are left out.
        acceleration: `"auto"` or `"none"`, see `Distiller`.
        also: Further terms of your own.

    Returns:
        A `Distiller`, for `"ft"` a `FactorTransfer`; for plain training the
        student itself.

    Raises:
        InputError: There is no such method, or a term cannot compare these
            networks.
    """
    parsed, also = parse(method), list(also)
    if not parsed.parts and not also:
        return student
    if teacher is None:
        raise InputError(f"The method '{method}' needs a teacher.")
    if pairs is None:
        pairs = names_of(tap_pairs([parsed], teacher, student))
    if parsed.parts == ("ft",) and recipe.form == "flat":
        return FactorTransfer(
            teacher,
            student,
            also=also,
            acceleration=acceleration,
            **_factor(parsed, recipe, paraphraser, pairs),
        )
    return Distiller(
        teacher,
        student,
        [*_terms(parsed, recipe, paraphraser, pairs), *also],
        task_weight=_task_weight(parsed, recipe),
        acceleration=acceleration,
    )


def check(
    method: Method,
    recipe: Any,
    teacher: keras.Model,
    student: keras.Model,
    pairs: Mapping[str, tuple[Tap, Tap]],
) -> None:
    """Refuse a method that cannot compare two networks, before it trains.

    Args:
        method: The method.
        recipe: The `Recipe`.
        teacher: As it was trained; a cache's `teacher` hides what it ends in.
        student: A network like the one that will be trained.
        pairs: What `tap_pairs` found.

    Raises:
        InputError: A term does not fit teacher and student.
    """
    paraphraser = None
    if method.has("ft"):
        paraphraser = recipe.paraphraser()
        paraphraser.build((None, *pairs["factor"][0].shape))
        paraphraser.trained = True
    if method.parts:
        build(
            method.name,
            recipe,
            teacher,
            student,
            paraphraser,
            names_of(pairs),
            acceleration="none",
        )


def tap_pairs(
    methods: Iterable[Method],
    teacher: keras.Model,
    student: keras.Model,
    teacher_layer: str | None = None,
    student_layer: str | None = None,
) -> dict[str, tuple[Tap, Tap]]:
    """Return which feature map of the teacher meets which of the student.

    Factors are taken from the layers that are named, or the last maps.
    Attention maps are compared after every stage, the hint after the middle
    one. Stages are the layers called `stage1`, `stage2`, ..., as in the zoo,
    or else the last map of each size; those of equal size make a pair.

    Returns:
        By name: `factor`, `hint`, and `attention_1`, `attention_2`, ... from
        the first to the last; only those that the methods need.

    Raises:
        InputError: There is no such layer, or no size in common.
    """
    wanted = {part for method in methods for part in method.parts}
    pairs: dict[str, tuple[Tap, Tap]] = {}
    if "ft" in wanted:
        pairs["factor"] = (
            find_tap(teacher, teacher_layer, "teacher_layer"),
            find_tap(student, student_layer, "student_layer"),
        )
    if wanted & {"at", "fitnet"}:
        stages = _stages(teacher, student)
        if "fitnet" in wanted:
            pairs["hint"] = stages[len(stages) // 2]
        if "at" in wanted:
            for number, pair in enumerate(stages, 1):
                pairs[f"attention_{number}"] = pair
    return pairs


def names_of(
    pairs: Mapping[str, tuple[Tap, Tap]],
) -> dict[str, tuple[str, str]]:
    """Return the names of the layers that `tap_pairs` found."""
    return {
        name: (theirs.name, ours.name) for name, (theirs, ours) in pairs.items()
    }


def _task_weight(method: Method, recipe: Any) -> float:
    """Return the weight of the labels."""
    if method.has("kd"):
        return 1.0 - recipe.kd_alpha
    return recipe.skd_task_weight if method.has("skd") else 1.0


def _factor(
    method: Method, recipe: Any, paraphraser: Paraphraser | None, pairs: Pairs
) -> dict[str, Any]:
    """Return the arguments of the factor term."""
    if paraphraser is None:
        raise InputError(
            f"The method '{method.name}' needs a paraphraser: train one with "
            "ParaphraserTrainer."
        )
    return {
        "paraphraser": paraphraser,
        "translator": Translator(
            batch_normalization=recipe.translator_batch_normalization
        ),
        "beta": recipe.beta,
        "p": recipe.p,
        "reduction": recipe.reduction,
        **_layers(pairs["factor"]),
    }


def _layers(pair: tuple[str, str]) -> dict[str, Any]:
    return {"teacher_layer_name": pair[0], "student_layer_name": pair[1]}


def _terms(
    method: Method, recipe: Any, paraphraser: Paraphraser | None, pairs: Pairs
) -> list[Transfer]:
    terms: list[Transfer] = []
    if method.has("ft"):
        factor = _factor(method, recipe, paraphraser, pairs)
        terms.append(transfers.FactorMatch(form=recipe.form, **factor))
    if method.has("fitnet"):
        beta = recipe.fitnet_beta
        terms.append(transfers.Hint(beta=beta, **_layers(pairs["hint"])))
    if method.has("at"):
        terms += [
            transfers.AttentionTransfer(
                beta=recipe.at_beta, name=name, **_layers(pair)
            )
            for name, pair in pairs.items()
            if name.startswith("attention")
        ]
    if method.has("kd"):
        terms.append(
            transfers.SoftTargets(recipe.kd_temperature, beta=recipe.kd_alpha)
        )
    if method.has("skd"):
        terms.append(
            transfers.SoftTargets(
                recipe.skd_temperature, beta=recipe.skd_beta, standardize=True
            )
        )
    if method.has("dkd"):
        terms.append(
            transfers.DecoupledSoftTargets(
                recipe.dkd_temperature,
                recipe.dkd_target_weight,
                recipe.dkd_non_target_weight,
            )
        )
    return terms


def _stages(
    teacher: keras.Model, student: keras.Model
) -> list[tuple[Tap, Tap]]:
    theirs, ours = _last_of_each_size(teacher), _last_of_each_size(student)
    pairs = [(theirs[size], ours[size]) for size in theirs if size in ours]
    if not pairs:
        raise InputError(
            "methods",
            f"at or fitnet for maps of {_sizes(theirs)} in the teacher and "
            f"{_sizes(ours)} in the student",
            "a size (height x width) that both have",
            "Leave them out, or use another student.",
        )
    return pairs


def _last_of_each_size(model: keras.Model) -> dict[tuple[int, int], Tap]:
    taps = taps_of(model)
    named = [tap for tap in taps if _STAGE.fullmatch(tap.name)]
    # Augmented images are no stage, nor is padding, which has its own size.
    others = [tap for tap in taps if tap.learned]
    found: dict[tuple[int, int], Tap] = {}
    for tap in named or others:
        height, width = tap.shape[:2]
        if height is not None and width is not None and height * width > 1:
            found[height, width] = tap
    return found


def _sizes(found: Mapping[tuple[int, int], Tap]) -> str:
    return ", ".join(f"{height}x{width}" for height, width in found)
