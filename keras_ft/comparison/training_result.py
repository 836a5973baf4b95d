"""What is known about one training of a comparison."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingResult:
    """One method with one seed; numbers are `None` where it failed.

    Attributes:
        method: Its name, such as `"ft+kd"`.
        seed: Of initial weights, order and augmentation.
        folder: Relative to the comparison's.
        reason: Why it failed; `None` if it did not.
        accuracy: On the test images after the last epoch, 0 to 1.
        validation_last, validation_best: Accuracy on the validation images
            after the last epoch and after the best one, 0 to 1.
        best_epoch, epochs: Counted from 1.
        beta: Weight of the factor term, for factor transfer.
        seconds: Of the student's training, with its validation.
        paraphrase_seconds: Of phase 1, for factor transfer.
        memory_bytes: The most that the GPU held or the process had resident
            meanwhile; `None` where the system does not tell.
        memory_of: Whose memory that is: `"the GPU"` or `"this process"`.
        parameters: Of the student.
        int8_accuracy: Of the `.tflite` file, on `int8_images` test images.
        int8_bytes: Its size.
        int8_refused: Why there is none.
        initial_weights, first_batch: SHA-256 of what training began with:
            equal for all methods of a seed.

    Example:

    >>> [r.accuracy for r in comparison.trainings if r.method == "ft"]
    [0.894, 0.895, 0.923]
    """

    method: str
    seed: int
    folder: str
    reason: str | None = None
    accuracy: float | None = None
    validation_last: float | None = None
    validation_best: float | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    beta: float | None = None
    seconds: float | None = None
    paraphrase_seconds: float | None = None
    memory_bytes: int | None = None
    memory_of: str | None = None
    parameters: int | None = None
    int8_accuracy: float | None = None
    int8_images: int | None = None
    int8_bytes: int | None = None
    int8_refused: str | None = None
    initial_weights: str | None = None
    first_batch: str | None = None
