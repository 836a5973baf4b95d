"""What `run.json` must hold for its readers: keys, types and ranges."""

import datetime
import re
from typing import Any

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
        and all(type(n) is int and 0 <= n < 2**53 for n in row)
        for row in value
    )


_TIME = Kind("a time with its zone", _is_time)
_TABLE = Kind("a square table of counts", _is_table)
_COUNT = Kind("a count", lambda x: type(x) is int and 0 <= x < 2**53)
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
_OPTIONAL_COUNT = (_COUNT, None)

# What is known of a network that was measured on the test images.
_MEASURED = {
    "accuracy": SHARE,
    "examples": _COUNT,
    "confusion": _TABLE,
    "parameters": _COUNT,
    "seconds?": float,
    "epochs?": _COUNT,
    "beta?": float,
    "validation_last?": NUMBER,
    "validation_best?": NUMBER,
    "best_epoch?": _COUNT,
    "memory_bytes?": _COUNT,
    "memory_of?": str,
    "initial_weights?": str,
    "first_batch?": str,
    str: Any,
}
_PARAPHRASER = {
    "seconds": float,
    "epochs": _COUNT,
    "variance_kept?": NUMBER,
    str: Any,
}
# Of a `.tflite` file.
_EXPORTED = {
    "bytes": _COUNT,
    "agreement": SHARE,
    "accuracy": SHARE,
    "samples": _COUNT,
    "quantization?": str,
    "requested?": str,
    "refusal?": OPTIONAL_TEXT,
    "checked_on?": str,
    "max_error": NUMBER,
    "keras_accuracy?": (SHARE, None),
    str: Any,
}
_LATENCY = {
    "threads": _COUNT,
    "median_ms": float,
    "p90_ms": float,
    str: Any,
}
BENCHMARK = {
    "machine": str,
    "runs": _COUNT,
    "threads": [_COUNT],
    "dataset": OPTIONAL_TEXT,
    "test_examples": _COUNT,
    "keras_accuracy": (SHARE, None),
    "files": [
        {
            "file": str,
            "bytes": _COUNT,
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
    "classes": _COUNT,
    "input_shape": [_COUNT],
    "sizes": {"train": _COUNT, "validation": _COUNT, "test": _COUNT},
    "notes": [str],
    "normalization": {"mean": [_MEAN], "std": [_SPREAD]},
    "augment?": (str, bool, None),
    "labelled_examples?": _COUNT,
}
# Of every `run.json`, whatever its phases are.
RUN = {
    "format?": _COUNT,
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
            "weights": _COUNT,
        },
        "teacher_pass?": str,
        "teacher_pass_seconds?": float,
        "idle_seconds?": float,
        "test_images?": str,
        "trainings_done?": _COUNT,
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
    "features?": _phase({"bytes": _COUNT}, [NAME]),
    "search?": _phase({}),
    "benchmark?": _phase(BENCHMARK),
    # It goes on to be trained, and is measured then.
    "teacher_head?": _phase(dict),
    str: _phase((_MEASURED, _EXPORTED)),
}
# Of `metrics.json`.
RUN_METRICS = {
    "teacher_accuracy": SHARE,
    "teacher_parameters": _COUNT,
    "test_examples": _COUNT,
    "seconds": float,
    "methods?": _METHODS,
    "student_parameters?": _COUNT,
    "variance_kept?": NUMBER,
    "export_refused?": {str: str},
    str: (float, None),
}
_SCHEDULE = {
    "epochs": _COUNT,
    "batch_size": _COUNT,
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
        "p": _COUNT,
        "form": str,
        str: Any,
    },
    "dataset": str,
    "seed": _COUNT,
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
    "image_size?": (_COUNT, [_COUNT], None),
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
        "training_seed?": _COUNT,
    },
    "tune": {
        **_TRAINED,
        "method?": str,
        "rates": Any,
        "betas": Any,
    },
}
