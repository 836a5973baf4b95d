"""Talk with the terminal."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from keras_ft.errors import InputError


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keep TensorFlow from talking to the terminal while it starts.

    Its first lines come from C++ before any log level is read, so standard
    error itself goes elsewhere for that moment. Exceptions pass.
    """
    kept = os.dup(2)
    void = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(void, 2)
        yield
        import keras

        # The first operation looks for devices and says what it misses.
        keras.ops.zeros(())
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(void)


def echo(line: str) -> None:
    """Print a line of progress at once, also into a pipe."""
    print(line, flush=True)


def silent(line: str) -> None:
    """Print nothing: the `echo` of workers other than the chief."""


def place(values: flags.FlagValues) -> Any:
    """Return the run's `Placement`; call it before TensorFlow does anything."""
    from keras_ft.distribution.placement import Placement

    name = values["strategy"].value
    if name == "multi_worker":
        echo("waiting for all workers of TF_CONFIG")
    return Placement(name)


def tell_run(
    values: flags.FlagValues, metrics: dict[str, Any], name: str
) -> None:
    """Write a run's report; print where its network is and how good it is.

    Args:
        values: Holds --run_dir and --data_dir.
        metrics: What the run returned.
        name: The file to name, relative to --run_dir.

    Raises:
        InputError: A `.tflite` file was refused; all else is in place.
    """
    from keras_ft import report
    from keras_ft.experiments.run_folder import read_content

    run_dir = values["run_dir"].value
    data_dir = values["data_dir"].value if "data_dir" in values else None
    page = report.write(run_dir, data_dir)
    echo("")
    echo(report.headline(metrics, read_content(run_dir)["configuration"]))
    echo(f"{Path(run_dir) / name}  ({page.name} beside it)")
    for quantization, reason in metrics.get("export_refused", {}).items():
        raise InputError(
            "quantization",
            f"{quantization}, refused by the check in LiteRT: {reason}",
            "a file that agrees with Keras",
            "The other files are in the run folder.",
        )


def tell_file(path: Any, result: dict[str, Any]) -> None:
    """Print what a `.tflite` file came out as."""
    if result["refusal"] is not None:
        echo(
            f"{result['requested']} was refused, and the file is "
            f"{result['quantization']} instead. {result['refusal']}"
        )
    echo(
        f"{path}  {result['bytes']:,} bytes, {result['accuracy']:.2%} right "
        f"and the same answer as Keras on {result['agreement']:.1%} of "
        f"{result['checked_on']}"
    )
