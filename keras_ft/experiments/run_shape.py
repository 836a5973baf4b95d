"""Describe what `run.json` must hold for its readers: keys, types, ranges."""

import datetime
import re
from typing import Any

from keras_ft.reading import COUNT
from keras_ft.reading import NAME
from keras_ft.reading import NUMBER
from keras_ft.reading import Kind

_METHOD = re.compile(r"[a-z]+(\+[a-z]+)*")


def _is_time(value: Any) -> bool:
    try:
        return datetime.datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _is_method(value: Any) -> bool:
    return isinstance(value, str) and _METHOD.fullmatch(value) is not None


def _is_table(value: Any) -> bool:
    """Return whether these are the counts of a confusion matrix."""
    if not isinstance(value, list) or not value:
        return False
    return all(
        isinstance(row, list)
        and len(row) == len(value)
        and all(map(COUNT.holds, row))
        for row in value
    )


_TIME = Kind("a time with its zone", _is_time)
_TABLE = Kind("a square table of counts", _is_table)
SHARE = Kind(
    "a number from 0 to 1",
    lambda x: type(x) in (int, float) and 0 <= x <= 1,
)
_SPREAD = Kind(
    "a number above 0",
    lambda x: type(x) in (int, float) and 1e-9 < x < 1e9,
)
_MEAN = Kind("a number", lambda x: type(x) in (int, float) and -1e9 < x < 1e9)
OPTIONAL_TEXT = (str, None)
_METHODS = Kind(
    "a list of methods' names",
    lambda x: isinstance(x, list) and len(x) > 0 and all(map(_is_method, x)),
)
_OPTIONAL_COUNT = (COUNT, None)

# What is known of a network that was measured on the test images.
_MEASURED = {
    "accuracy": SHARE,
    "examples": COUNT,
    "confusion": _TABLE,
    "parameters": COUNT,
    "seconds?": float,
    "epochs?": COUNT,
    "beta?": float,
    "validation_last?": NUMBER,
    "validation_best?": NUMBER,
    "best_epoch?": COUNT,
    "memory_bytes?": COUNT,
    "memory_of?": str,
    "initial_weights?": str,
    "first_batch?": str,
    str: Any,
}
_PARAPHRASER = {
    "seconds": float,
    "epochs": COUNT,
    "variance_kept?": NUMBER,
    str: Any,
}
# Of a `.tflite` file.
_EXPORTED = {
    "bytes": COUNT,
    "agreement": SHARE,
    "accuracy": SHARE,
    "samples": COUNT,
    "quantization?": str,
    "requested?": str,
    "refusal?": OPTIONAL_TEXT,
    "checked_on?": str,
    "max_error": NUMBER,
    "keras_accuracy?": (SHARE, None),
    str: Any,
}
_LATENCY = {
    "threads": COUNT,
    "median_ms": float,
    "p90_ms": float,
    str: Any,
}
BENCHMARK = {
    "machine": str,
    "runs": COUNT,
    "threads": [COUNT],
    "dataset": OPTIONAL_TEXT,
    "test_examples": COUNT,
    "keras_accuracy": (SHARE, None),
    "files": [
        {
            "file": str,
            "bytes": COUNT,
            "gzip_bytes": _OPTIONAL_COUNT,
            "latency": [_LATENCY],
            "accuracy": (SHARE, None),
            "agreement": (SHARE, None),
            "error": OPTIONAL_TEXT,
            "pareto": bool,
        }
    ],
}


# A phase with a result has a file.
_FILES = Kind(
    "a list with a path inside the folder",
    lambda x: isinstance(x, list) and len(x) > 0 and all(map(NAME.holds, x)),
)


def _phase(result: Any, files: Any = _FILES) -> dict[str, Any]:
    return {"finished": _TIME, "files": files, "result": result}


_PIXELS = {
    "range": str,
    "mean": [_MEAN],
    "std": [_SPREAD],
    "why": str,
    "tried": [
        {
            "range": str,
            "accuracy": SHARE,
            "cross_entropy": NUMBER,
            "at_chance": bool,
        }
    ],
}
NOTED_DATASET = {
    "name": str,
    "classes": COUNT,
    "input_shape": [COUNT],
    "sizes": {"train": COUNT, "validation": COUNT, "test": COUNT},
    "notes": [str],
    "normalization": {"mean": [_MEAN], "std": [_SPREAD]},
    "augment?": (str, bool, None),
    "labelled_examples?": COUNT,
}
# Of every `run.json`, whatever its phases are.
RUN = {
    "format?": COUNT,
    # A worker that was stopped early has none.
    "configuration?": dict,
    "notes": {
        "dataset?": NOTED_DATASET,
        "pixels?": {str: _PIXELS},
        "taps?": {"teacher": str, "student": str},
        "beta?": {
            "beta": float,
            "ratio": float,
            "task_norm": float,
            "term_norm": float,
            "term": str,
            "weights": COUNT,
        },
        "teacher_pass?": str,
        "teacher_pass_seconds?": float,
        "idle_seconds?": float,
        "test_images?": str,
        "trainings_done?": COUNT,
        "int8_refused?": str,
        str: Any,
    },
    "phases": {str: _phase({"variance_kept?": NUMBER, str: Any}, [NAME])},
    "sessions": [
        {
            "started": _TIME,
            "last_write": _TIME,
            "finished?": _TIME,
            "command_line": [str],
            "versions": {str: str},
        }
    ],
}
# Of the runs below.
PHASES = {
    "paraphrase?": _phase(_PARAPHRASER),
    "features?": _phase({"bytes": COUNT}, [NAME]),
    "search?": _phase({}),
    "benchmark?": _phase(BENCHMARK),
    # It goes on to be trained, and is measured then.
    "teacher_head?": _phase(dict),
    str: _phase((_MEASURED, _EXPORTED)),
}
# Of `metrics.json`.
RUN_METRICS = {
    "teacher_accuracy": SHARE,
    "teacher_parameters": COUNT,
    "test_examples": COUNT,
    "seconds": float,
    "methods?": _METHODS,
    "student_parameters?": COUNT,
    "variance_kept?": NUMBER,
    "export_refused?": {str: str},
    str: (float, None),
}
_SCHEDULE = {
    "epochs": COUNT,
    "batch_size": COUNT,
    "learning_rate": float,
    str: Any,
}
_TRAINED = {
    "recipe": {
        "name": str,
        "source": str,
        "teacher": _SCHEDULE,
        "paraphrase": _SCHEDULE,
        "distill": _SCHEDULE,
        "rate": float,
        "beta": float,
        "p": COUNT,
        "form": str,
        str: Any,
    },
    "dataset": str,
    "seed": COUNT,
    "train_examples": _OPTIONAL_COUNT,
    "validation_fraction": SHARE,
    "student": str,
    "acceleration": str,
    "teacher": OPTIONAL_TEXT,
    "augment?": str,
    "pixels?": OPTIONAL_TEXT,
    "labelled_examples?": _OPTIONAL_COUNT,
    "unlabelled?": OPTIONAL_TEXT,
    "labelled_share?": (SHARE, None),
    "image_size?": (COUNT, [COUNT], None),
    "class_weights?": OPTIONAL_TEXT,
    "skip_unreadable?": bool,
    "teacher_layer": OPTIONAL_TEXT,
    "student_layer": OPTIONAL_TEXT,
    str: Any,
}
# By the command that made the folder: what its readers count on.
CONFIGURATIONS = {
    "train_teacher": {
        **_TRAINED,
        "methods": _METHODS,
        "teacher_network": OPTIONAL_TEXT,
    },
    "distill": {
        **_TRAINED,
        "methods": _METHODS,
        "teacher_network": OPTIONAL_TEXT,
    },
    # Its trainings have a method each.
    "compare": {
        **_TRAINED,
        "teacher_network": OPTIONAL_TEXT,
        "method?": str,
        "training_seed?": COUNT,
    },
    "tune": {
        **_TRAINED,
        "method?": str,
        "rates": Any,
        "betas": Any,
    },
}
