"""The trained networks of a run, as rows of a table."""

import dataclasses

from keras_ft import methods
from keras_ft.experiments import RunFolder
from keras_ft.experiments.evaluation import Evaluation

_NAMES = {
    "none": "labels only",
    "kd": "soft targets (KD)",
    "ft": "Factor Transfer",
    "at": "attention transfer (AT)",
    "fitnet": "FitNets",
}


@dataclasses.dataclass(frozen=True)
class Network:
    """What the report says about one trained network.

    Args:
        phase: The phase that made it.
        name: In words.
        file: Its `.keras` file, relative to the run's folder.
        parameters: Number of weights.
        bytes: Size of the file.
        accuracy: On the test split, 0 to 1.
        class_accuracy: The same for each class.
        seconds: Of training in this run; `None` if it was given.
        epochs: Of training in this run; `None` if it was given.

    Example:

    >>> [network.accuracy for network in networks(run)]
    """

    phase: str
    name: str
    file: str
    parameters: int
    bytes: int
    accuracy: float
    class_accuracy: tuple[float, ...]
    seconds: float | None
    epochs: int | None


def networks(run: RunFolder) -> list[Network]:
    """Every network that the run has finished, the teacher first."""
    return [
        _network(run, phase)
        for phase in ("teacher", *run.configuration["methods"])
        if run.is_finished(phase)
    ]


def shipped(run: RunFolder) -> str | None:
    """Return the method of the run's `student.keras`, once it is there."""
    first: str = run.configuration["methods"][0]
    return first if run.is_finished(first) else None


def method_name(method: str) -> str:
    """Return a method's name in words."""
    return _NAMES.get(method, methods.parse(method).title)


def _network(run: RunFolder, phase: str) -> Network:
    result, file = run.result(phase), run.files(phase)[0]
    name = "Teacher"
    if phase != "teacher":
        name = f"Student, {method_name(phase)}"
    return Network(
        phase=phase,
        name=name,
        file=file,
        parameters=result["parameters"],
        bytes=(run.path / file).stat().st_size,
        accuracy=result["accuracy"],
        class_accuracy=Evaluation(result["confusion"]).class_accuracy,
        seconds=result.get("seconds"),
        epochs=result.get("epochs"),
    )
