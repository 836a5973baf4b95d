"""What a run notes of its dataset, and that it stays so."""

from typing import Any

from keras_ft.errors import InputError

_NAMES = ("classes", "input_shape", "sizes", "normalization")


def about(loaded: Any) -> dict[str, Any]:
    """JSON values that describe a dataset.

    Args:
        loaded: What `data.load` returned.

    Example:

    >>> about(data.load("fashion_mini"))["sizes"]["test"]
    2000
    """
    return {
        "name": loaded.name,
        "classes": loaded.classes,
        "input_shape": list(loaded.input_shape),
        "sizes": dict(loaded.sizes),
        "notes": list(loaded.notes),
        "normalization": {
            "mean": list(loaded.normalization.mean),
            "std": list(loaded.normalization.std),
        },
    }


def check_same(kept: dict[str, Any], now: dict[str, Any]) -> None:
    """Compares with what the run has begun with.

    Args:
        kept: Its note; empty if there is none yet.
        now: That of the dataset at hand.

    Raises:
        InputError: Images came or went, or pixels are scaled otherwise, as
            when the teacher's run folder was moved.
    """
    for name in _NAMES:
        if kept.get(name, now[name]) != now[name]:
            raise InputError(
                "dataset",
                f"{name} {now[name]}",
                f"{kept[name]}, with which this run was started",
                "Bring back the images, and the teacher to where it was, or "
                "name another --run_dir.",
            )
