"""The trained networks of a run, as rows of a table."""

import dataclasses

from keras_ft.experiments import RunFolder
from keras_ft.experiments.evaluation import Evaluation
from keras_ft.experiments.phases import STUDENTS

NAMES = {
    "teacher": "Teacher",
    "distil": "Student, Factor Transfer",
    "alone": "Student, labels only",
    "kd": "Student, soft targets (KD)",
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
    files = {"teacher": "teacher.keras", **STUDENTS}
    return [
        _network(run, phase, file)
        for phase, file in files.items()
        if run.is_finished(phase)
    ]


def _network(run: RunFolder, phase: str, file: str) -> Network:
    result = run.result(phase)
    return Network(
        phase=phase,
        name=NAMES[phase],
        file=file,
        parameters=result["parameters"],
        bytes=(run.path / file).stat().st_size,
        accuracy=result["accuracy"],
        class_accuracy=Evaluation(result["confusion"]).class_accuracy,
        seconds=result.get("seconds"),
        epochs=result.get("epochs"),
    )
