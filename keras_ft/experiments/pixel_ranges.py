"""Find which numbers a network takes for pixels: told, seen or tried.

A network that was trained on 0..255 answers at random where it is given
0..1, and nothing in its file says which. A rescaling layer inside tells, and
so do some hundred labelled images.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_ft.acceleration.flat_graph import FlatGraph
from keras_ft.acceleration.flat_graph import NotFoldableError
from keras_ft.data.normalization import DATASET
from keras_ft.data.normalization import RANGES
from keras_ft.data.normalization import RAW
from keras_ft.data.normalization import Normalization
from keras_ft.data.normalization import of_range
from keras_ft.errors import InputError
from keras_ft.experiments.evaluation import Evaluation
from keras_ft.tables import text_table

# A ResNet-50 at 224 pixels takes about a minute for them, five times over.
IMAGES = 200
RECORDED = "recorded"
_BATCH = 50
# Fewer than these do not tell a good network from a lucky one.
_FEWEST = 16
_ARITHMETIC = {"Add", "Subtract", "Multiply", "Divide", "TrueDivide"}


@dataclasses.dataclass(frozen=True)
class Trial:
    """Hold how a network does with one range of pixels.

    Attributes:
        range: One of `RANGES`.
        accuracy: On labelled training images, 0 to 1.
        cross_entropy: Of its probabilities, the mean over them.
        at_chance: Whether its answers hardly depend on the class.
    """

    range: str
    accuracy: float
    cross_entropy: float
    at_chance: bool


@dataclasses.dataclass(frozen=True)
class PixelRange:
    """Hold which pixels a network takes, and how that is known.

    Attributes:
        range: One of `RANGES`, or `"recorded"`.
        normalization: From pixels 0..255 to the network's input.
        why: How it is known, as a clause.
        trials: What was tried, if anything.
    """

    range: str
    normalization: Normalization
    why: str
    trials: tuple[Trial, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values for `run.json`."""
        return {
            "range": self.range,
            "mean": list(self.normalization.mean),
            "std": list(self.normalization.std),
            "why": self.why,
            "tried": [dataclasses.asdict(trial) for trial in self.trials],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "PixelRange":
        """Make one of what `to_dict` returned."""
        return cls(
            content["range"],
            Normalization.from_dict(content),
            content["why"],
            tuple(Trial(**trial) for trial in content["tried"]),
        )

    def lines(self, who: str) -> list[str]:
        """Return what to tell of the choice.

        Args:
            who: "teacher" or "student".
        """
        table = []
        if len(self.trials) > 1:
            rows = [["pixels", "accuracy", "cross-entropy"]]
            rows += [
                [t.range, f"{t.accuracy:.1%}", f"{t.cross_entropy:.3f}"]
                for t in self.trials
            ]
            table = text_table(rows)
        return [*table, f"{who}: takes pixels {self.range}, {self.why}"]


def rescales_inside(network: keras.Model) -> bool:
    """Return whether a network itself scales the pixels it is given.

    It does where a `Rescaling` or `Normalization` layer, or arithmetic with a
    constant as in `keras.applications`' `preprocess_input`, comes before the
    first layer with weights. Nested models are opened; layers that augment or
    resize are passed.
    """
    try:
        graph = FlatGraph(network)
    except NotFoldableError:  # It has no graph to look at.
        return False
    pixels = set(graph.inputs)
    for step in graph.steps:
        if not pixels.intersection(step.inputs):
            continue
        layer = step.operation
        if isinstance(
            layer, (keras.layers.Rescaling, keras.layers.Normalization)
        ):
            return True
        if step.is_layer and layer.weights:
            continue
        name = type(layer).__name__
        if not step.is_layer and name in _ARITHMETIC and len(step.inputs) == 1:
            return True
        pixels.update(step.outputs)
    return False


def of_teacher(
    teacher: keras.Model,
    data: Any,
    asked: str | None = None,
    recorded: Normalization | None = None,
) -> PixelRange:
    """Return which pixels a teacher takes.

    What the user says comes first, then what was noted when it was trained,
    then its own rescaling layer. Where that leaves it at chance, or nothing
    is known, all ranges are tried on `IMAGES` labelled training images.

    Args:
        teacher: Takes images of the data's shape.
        data: What `data.load` returned, with the normalization that
            `"dataset"` stands for.
        asked: One of `RANGES`.
        recorded: What the teacher was trained with.

    Raises:
        InputError: It is at chance with each of them.
    """
    if asked is not None:
        return PixelRange(asked, _asked(asked, data), "as --pixels says")
    if recorded is not None:
        return PixelRange(RECORDED, recorded, "as it was trained")
    trials = []
    if rescales_inside(teacher):
        trials = _try(teacher, data, [RAW])
        if not trials or not trials[0].at_chance:
            return dataclasses.replace(
                rescaled_inside(data), trials=tuple(trials)
            )
    tried = {trial.range for trial in trials}
    trials += _try(teacher, data, [r for r in RANGES if r not in tried])
    if not trials:
        why = "as there are too few labelled images to try others"
        return PixelRange(DATASET, data.normalization, why)
    known = [trial for trial in trials if not trial.at_chance]
    if not known:
        raise _at_chance(trials, data)
    return _chosen(known, trials, data)


def of_student(
    student: keras.Model,
    data: Any,
    teacher: PixelRange,
    recorded: Normalization | None = None,
) -> PixelRange:
    """Return which pixels a student from a file takes.

    Those noted when it was trained, those it rescales itself, or those that
    suit it best where it is right more often than not already; else, as it
    is to be trained, those of `untrained_student`.

    Args:
        student: Takes images of the data's shape.
        data: As for `of_teacher`.
        teacher: The teacher's.
        recorded: What the student was trained with, where that is known.
    """
    if recorded is not None:
        return PixelRange(RECORDED, recorded, "as it was trained")
    if rescales_inside(student):
        return rescaled_inside(data)
    trials = _try(student, data, RANGES)
    good = [t for t in trials if t.accuracy > (1 + 1 / data.classes) / 2]
    if good:
        return _chosen(good, trials, data)
    return untrained_student(data, teacher)


def rescaled_inside(data: Any) -> PixelRange:
    """Return the range of a network that rescales pixels itself."""
    why = "which it rescales itself"
    return PixelRange(RAW, _normalization(RAW, data), why)


def untrained_student(data: Any, teacher: PixelRange) -> PixelRange:
    """Return the teacher's range, or the dataset's where that is raw.

    A network that is trained from the start wants small numbers.
    """
    if teacher.range != RAW:
        return dataclasses.replace(teacher, why="as the teacher", trials=())
    why = "as it is trained from the start"
    return PixelRange(DATASET, data.normalization, why)


def _asked(name: str, data: Any) -> Normalization:
    found = of_range(name, data.input_shape[-1], data.normalization)
    if found is None:
        raise InputError(
            "pixels",
            f"{name!r} for images with {data.input_shape[-1]} channel",
            f"one of {', '.join(r for r in RANGES if r != name)}",
            "ImageNet's statistics are those of RGB images.",
        )
    return found


def _normalization(name: str, data: Any) -> Normalization:
    found = of_range(name, data.input_shape[-1], data.normalization)
    assert found is not None
    return found


def _try(network: keras.Model, data: Any, ranges: Iterable[str]) -> list[Trial]:
    """Ask a network about labelled training images, once per range."""
    count = min(IMAGES, data.labelled_examples)
    images, labels = data.examples("train", count, labelled=True)
    if len(labels) < _FEWEST:
        return []
    trials = []
    for name in ranges:
        normalization = of_range(name, data.input_shape[-1], data.normalization)
        if normalization is None:
            continue
        outputs = np.concatenate(
            [
                # Not `predict`, which would compile the whole network.
                keras.ops.convert_to_numpy(
                    network(normalization.apply(some), training=False)
                )
                for some in np.split(images, range(_BATCH, len(images), _BATCH))
            ]
        )
        confusion = np.zeros((data.classes,) * 2, np.int64)
        np.add.at(confusion, (labels, outputs.argmax(axis=-1)), 1)
        found = Evaluation(tuple(tuple(map(int, row)) for row in confusion))
        trials.append(
            Trial(
                name,
                found.accuracy,
                _cross_entropy(outputs, labels),
                found.is_at_chance,
            )
        )
    return trials


def _cross_entropy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over images, of logits or probabilities."""
    outputs = outputs.astype(np.float64)
    sums = outputs.sum(axis=-1)
    if outputs.min() >= 0.0 and np.allclose(sums, 1.0, atol=1e-3):
        outputs = np.log(np.maximum(outputs, 1e-12))
    outputs = outputs - outputs.max(axis=-1, keepdims=True)
    right = outputs[np.arange(len(labels)), labels]
    return float(np.mean(np.log(np.exp(outputs).sum(axis=-1)) - right))


def _chosen(known: list[Trial], trials: list[Trial], data: Any) -> PixelRange:
    """Return the best: of those about as often right the surest.

    A few answers more may be luck. The pixels that a network was trained on
    give the lowest cross-entropy, as its first layer was fitted to them.
    """
    best = max(trial.accuracy for trial in known)
    count = min(IMAGES, data.labelled_examples)
    luck = 2 * np.sqrt(best * (1 - best) / count) + 1 / count
    near = [trial for trial in known if trial.accuracy >= best - luck]
    chosen = min(near, key=lambda trial: trial.cross_entropy)
    why = f"the best of {len(trials)} on {count} labelled training images"
    return PixelRange(
        chosen.range, _normalization(chosen.range, data), why, tuple(trials)
    )


def _at_chance(trials: list[Trial], data: Any) -> InputError:
    tried = ", ".join(f"{t.range} {t.accuracy:.1%}" for t in trials)
    return InputError(
        "teacher",
        f"one that is hardly better than chance on "
        f"{min(IMAGES, data.labelled_examples)} labelled training images, "
        f"whatever range of pixels it is given ({tried})",
        f"one that knows the {data.classes} classes of {data.name}, in this "
        f"order: {', '.join(data.class_names[:5])}"
        f"{', ...' if data.classes > 5 else ''}",
        "Use another teacher or dataset; --pixels=raw or another range goes "
        "on with this one.",
    )
