"""Floating point operations of the networks of a run and of their training."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_ft.experiments import costs
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap
from keras_ft.models.distiller import Distiller

Shape = tuple[int, ...]


def forward(distiller: Distiller, image: Shape) -> dict[str, int]:
    """Of a forward pass of each whole network for one image.

    Args:
        distiller: What trains in phase 2.
        image: Shape of an image.

    Returns:
        `teacher`, `paraphraser` (to the reconstruction), `translator` and
        `student`.

    Example:

    >>> forward(model, (32, 32, 3))["student"]
    82122602
    """
    match, student = distiller.transfers[0], distiller.student
    teacher_tap, student_tap = _tap_shapes(distiller, image)
    return {
        "teacher": costs.forward_flops(distiller.teacher, image),
        "paraphraser": costs.forward_flops(
            match.paraphraser.reconstruct, teacher_tap
        ),
        "translator": costs.forward_flops(match.student_factor, student_tap),
        "student": costs.forward_flops(student, image),
    }


def training(
    distiller: Distiller, whole: Mapping[str, int], image: Shape
) -> dict[str, int]:
    """Of a training step of each phase for one image, less the teacher's.

    A backward pass counts as two forward passes, as everybody estimates.

    Args:
        distiller: What trains in phase 2.
        whole: What `forward` returned.
        image: Shape of an image.

    Returns:
        By the phase's name.
    """
    teacher_tap, _ = _tap_shapes(distiller, image)
    factor = costs.forward_flops(
        distiller.transfers[0].teacher_factor, teacher_tap
    )
    student = 3 * whole["student"]
    return {
        "teacher": 3 * whole["teacher"],
        "paraphrase": 3 * whole["paraphraser"],
        "distil": student + 3 * whole["translator"] + factor,
        "alone": student,
        "kd": student,
    }


def _tap_shapes(distiller: Distiller, image: Shape) -> tuple[Shape, Shape]:
    match = distiller.transfers[0]
    return (
        _tap_shape(distiller.teacher, match.teacher_layer_name, image),
        _tap_shape(distiller.student, match.student_layer_name, image),
    )


def _tap_shape(model: keras.Model, layer: str | None, image: Shape) -> Shape:
    """For images of one size, where the network takes any."""
    tap = find_tap(model, layer, "layer")
    features: Any = feature_extractor(model, [tap])(
        keras.KerasTensor((1, *image))
    )[0]
    return tuple(features.shape[1:])
