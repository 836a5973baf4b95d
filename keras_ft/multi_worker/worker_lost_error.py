"""The error of a training whose other machines are gone."""

import contextlib
from collections.abc import Iterator

# What TensorFlow's collectives raise when a worker dies, freezes, or leaves.
_LOST = (
    "UnavailableError",
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
)
_ABORTED = "Collective ops is aborted"


class WorkerLostError(RuntimeError):
    """Another worker stopped, so that this one could not go on.

    Nothing is lost but the epoch it happened in: start all workers again with
    the same `checkpoint_dir` and they continue at the last complete epoch.

    Example:

    >>> import sys
    >>> with keras_ft.multi_worker.strategy().scope():
    ...     model = keras.models.load_model("student.keras", compile=False)
    ...     model.compile("sgd", loss)
    >>> try:
    ...     history = keras_ft.multi_worker.fit(
    ...         model, data.train_from, steps_per_epoch=data.steps_per_epoch,
    ...         epochs=5, checkpoint_dir="checkpoints")
    ... except keras_ft.multi_worker.WorkerLostError:
    ...     sys.exit(75)  # The launcher starts all workers again.
    """


@contextlib.contextmanager
def explained(remedy: str) -> Iterator[None]:
    """Turns the collectives' errors into a `WorkerLostError`.

    Args:
        remedy: What to do; the last sentence of the message.
    """
    try:
        yield
    except Exception as error:
        # By name, because InternalError & Co. are all OpError.
        if isinstance(error, WorkerLostError):
            raise
        if type(error).__name__ not in _LOST and _ABORTED not in str(error):
            raise
        raise WorkerLostError(
            "Another worker stopped or cannot be reached: "
            f"{_reason(str(error))}. Its own output says why. {remedy}"
        ) from None


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [line for line in lines if _ABORTED in line]
    return (found or lines or ["no reason given"])[0].rstrip(".:")
