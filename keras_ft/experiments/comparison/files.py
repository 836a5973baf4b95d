"""A comparison as files that other programs read."""

import csv
import io
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_ft import artifacts
from keras_ft.experiments.comparison import table
from keras_ft.experiments.comparison.comparison import Comparison

RESULTS = "comparison.json"


def write(comparison: Comparison) -> list[str]:
    """Writes all files into the comparison's folder; returns their names.

    Example:

    >>> write(comparison)
    ['comparison.json', 'trainings.csv', 'methods.csv', 'methods.tex']
    """
    folder, content = comparison.run_dir, comparison.to_dict()
    artifacts.write_json(folder / RESULTS, content)
    texts = {
        "trainings.csv": _csv(content["trainings"]),
        "methods.csv": _csv([_flat(row) for row in content["methods"]]),
        "methods.tex": table.latex(comparison.methods),
    }
    for name, text in texts.items():
        artifacts.write_text(folder / name, text)
    return [RESULTS, *texts]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = dict(row)
    for name in ("over_plain", "over_kd"):
        for key in ("seeds", "mean", "low", "high", "verdict"):
            flat[f"{name}_{key}"] = (row[name] or {}).get(key)
        del flat[name]
    return flat


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
