"""From a method's name to the model that trains its student."""

from typing import Any

import keras

from keras_ft import transfers
from keras_ft.experiments import models
from keras_ft.experiments.comparison.bench import Bench
from keras_ft.experiments.comparison.method import Method
from keras_ft.experiments.comparison.outlets import outlet
from keras_ft.export.student import classifier_shapes
from keras_ft.layers import Paraphraser
from keras_ft.layers import Translator
from keras_ft.models.distiller import Distiller
from keras_ft.transfers.transfer import Transfer


def wrapped(
    method: Method,
    student: keras.Model,
    bench: Bench,
    teacher: keras.Model | None,
    paraphraser: Paraphraser | None,
) -> keras.Model:
    """The student itself, or a distiller around it.

    Args:
        method: Which terms to add to the labels'.
        student: Built, with its initial weights.
        bench: Settings and pairs of feature maps.
        teacher: Has an outlet for each pair, or stands in for one that has.
        paraphraser: Trained, where there is a factor term.

    Raises:
        InputError: A term cannot compare these networks.
    """
    if not method.parts:
        return student
    terms = _terms(method, bench, paraphraser)
    for term in terms:
        # The stand-in of a cache does not show what the teacher ends in.
        term.check_models(bench.teacher, student)
    labels = 1.0
    if method.has("kd"):
        labels -= bench.plan.method_settings.kd_alpha
    return Distiller(
        teacher,
        student,
        terms,
        task_weight=labels,
        acceleration=bench.plan.settings.acceleration,
    )


def check_methods(bench: Bench) -> None:
    """Refuses methods that cannot compare these networks, before they train.

    Raises:
        InputError: A term does not fit teacher and student, or the student
            cannot become a `.tflite` file and shall.
    """
    settings = bench.plan.settings
    student = models.build(settings.student, bench.data)
    if bench.plan.exports:
        classifier_shapes(student)
    for method in bench.plan.methods:
        paraphraser = None
        if method.has("ft"):
            paraphraser = settings.recipe.paraphraser()
            paraphraser.build((None, *bench.pairs.pairs["factor"][0].shape))
        for term in _terms(method, bench, paraphraser):
            term.check_models(bench.teacher, student)
            term.connect(bench.outputs.teacher, student)


def _terms(
    method: Method, bench: Bench, paraphraser: Paraphraser | None
) -> list[Transfer]:
    settings, recipe = bench.plan.method_settings, bench.plan.settings.recipe
    taps: dict[str, dict[str, Any]] = {
        name: {
            "teacher_layer_name": outlet(name),
            "student_layer_name": pair[1].name,
        }
        for name, pair in bench.pairs.pairs.items()
    }
    terms: list[Transfer] = []
    if method.has("ft"):
        assert paraphraser is not None
        norm = recipe.translator_batch_normalization
        terms.append(
            transfers.FactorMatch(
                paraphraser,
                Translator(batch_normalization=norm),
                beta=recipe.beta,
                p=recipe.p,
                reduction=recipe.reduction,
                form=recipe.form,
                **taps["factor"],
            )
        )
    if method.has("fitnet"):
        beta = settings.fitnet_beta
        terms.append(transfers.Hint(beta=beta, **taps["hint"]))
    if method.has("at"):
        terms += [
            transfers.AttentionTransfer(
                beta=settings.at_beta, name=name, **pair
            )
            for name, pair in taps.items()
            if name.startswith("attention")
        ]
    if method.has("kd"):
        alpha = settings.kd_alpha
        terms.append(transfers.SoftTargets(settings.kd_temperature, beta=alpha))
    return terms
