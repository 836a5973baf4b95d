"""The end of a run on the command line: report, artifact, headline."""

from pathlib import Path
from typing import Any

from absl import flags

from keras_ft.cli.common import echo
from keras_ft.errors import InputError


def tell(values: flags.FlagValues, metrics: dict[str, Any], name: str) -> None:
    """Write the report; print where the artifact is and how good it is.

    Args:
        values: Holds --run_dir and --data_dir.
        metrics: What the run returned.
        name: The artifact to name, relative to --run_dir.

    Raises:
        InputError: A `.tflite` file was refused; all else is in place.
    """
    from keras_ft import report

    page = report.write(values["run_dir"].value, _data_dir(values))
    echo("")
    echo(report.headline(metrics))
    echo(f"{Path(values['run_dir'].value) / name}  ({page.name} beside it)")
    for quantization, reason in metrics.get("export_refused", {}).items():
        raise InputError(
            "quantization",
            f"{quantization}, refused by the check in LiteRT: {reason}",
            "a file that agrees with Keras",
            "The other files are in the run folder.",
        )


def _data_dir(values: flags.FlagValues) -> str | None:
    return values["data_dir"].value if "data_dir" in values else None
