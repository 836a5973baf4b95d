"""What a run notes of its dataset, and that it stays so."""

from typing import Any

from keras_ft.errors import InputError
from keras_ft.experiments.follower import Follower
from keras_ft.experiments.run_folder import RunFolder

_NAMES = ("classes", "input_shape", "sizes", "normalization")


def keep(run: RunFolder | Follower, loaded: Any) -> None:
    """Notes the dataset; refuses one unlike that of the results so far.

    Args:
        run: The run's folder, entered.
        loaded: What `data.load` returned.

    Raises:
        InputError: Images came or went, or pixels are scaled otherwise, as
            when the teacher's run folder was moved.

    Example:

    >>> keep(run, data.load("fashion_mini"))
    """
    now = _about(loaded)
    if run.holds_results:
        _check_same(run.content["notes"].get("dataset", {}), now)
    run.note("dataset", now)


def _about(loaded: Any) -> dict[str, Any]:
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


def _check_same(kept: dict[str, Any], now: dict[str, Any]) -> None:
    for name in _NAMES:
        if kept.get(name, now[name]) != now[name]:
            raise InputError(
                "dataset",
                f"{name} {now[name]}",
                f"{kept[name]}, with which this run was started",
                "Bring back the images, and the teacher to where it was, or "
                "name another --run_dir.",
            )
