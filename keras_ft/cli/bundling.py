"""The part of `keras-ft export` that hands a folder over."""

from typing import Any

from absl import flags

from keras_ft.cli import common
from keras_ft.errors import InputError

_CONTENTS = {
    "README.md": "start here: five minutes to the first answer",
    "student.tflite": "the network, with labels and metadata inside",
    "labels.txt": "names of the classes",
    "Classifier.kt": "from an Android Bitmap to labels",
    "build.gradle.kts": "lines for yours",
    "golden": "known images with known answers; GoldenTest.kt checks a phone",
    "model_card.md": "origin, quality, license; also as .json",
    "latency.md": "times, and how to measure a phone's; also as .json",
}
# Flags that --bundle alone needs.
_OWN = ("author", "license", "package")


class _OptionalFolder(flags.ArgumentParser):
    """`--bundle` alone is "", `--bundle=FOLDER` is the folder."""

    def parse(self, argument: str) -> str | None:
        words: dict[str, str | None] = {"true": "", "false": None}
        return words.get(argument, argument)


def define(values: flags.FlagValues) -> None:
    """The flags."""
    bundle = flags.Flag(
        _OptionalFolder(),
        flags.ArgumentSerializer(),
        "bundle",
        None,
        "Write a whole folder for an Android developer instead, int8 unless "
        "--quantization says otherwise. --bundle=FOLDER says where; by default "
        "`bundle` in the run folder, or beside the --student.",
    )
    bundle.boolean = True  # absl's way to let a flag stand alone.
    flags.DEFINE_flag(bundle, values)
    for name, default, meaning in (
        ("author", "", "who made the student."),
        ("license", "", "what one may do with it, such as Apache-2.0."),
        ("package", "com.example.classifier", "package of the Kotlin code."),
    ):
        flags.DEFINE_string(
            name, default, f"With --bundle: {meaning}", flag_values=values
        )


def is_asked(values: flags.FlagValues) -> bool:
    """Whether a folder is wanted.

    Raises:
        InputError: A flag was given that does not go with it, or without it.
    """
    asked = values["bundle"].value is not None
    for name in ("output",) if asked else _OWN:
        if values[name].present:
            raise InputError(
                f"--{name}",
                values[name].value,
                "no such flag together with --bundle"
                if asked
                else "--bundle beside it",
                "Write --bundle=FOLDER to say where."
                if asked
                else "Add --bundle, or leave it out.",
            )
    return asked


def run(values: flags.FlagValues) -> None:
    """Write the folder, tell what is in it."""
    from keras_ft import experiments

    folder = values["bundle"].value or None
    quantization = "int8"
    if values["quantization"].present:
        quantization = values["quantization"].value
    data_dir = values["data_dir"].value
    options = {name: values[name].value for name in (*_OWN, "fallback")}
    if values["run_dir"].value is not None:
        result = experiments.bundle_run(
            values["run_dir"].value, folder, quantization, data_dir, **options
        )
    else:
        result = experiments.bundle_file(
            values["student"].value,
            folder,
            values["dataset"].value,
            quantization,
            data_dir,
            **options,
        )
    _tell(result)


def _tell(result: Any) -> None:
    exported, first = result.exported, result.latencies[0]
    if exported.refusal is not None:
        common.echo(
            f"{exported.requested} was refused, and the file is "
            f"{exported.quantization} instead. {exported.refusal}"
        )
    common.echo(
        f"student.tflite ({exported.quantization}): {exported.bytes:,} bytes, "
        f"{exported.accuracy:.2%} right (Keras {exported.keras_accuracy:.2%}) "
        f"and the same answer as Keras on {exported.agreement:.1%} of "
        f"{exported.samples:,} test images"
    )
    common.echo(
        f"{first.median_ms:.3f} ms an image in LiteRT on one thread, "
        f"{result.machine}"
    )
    common.echo(f"{result.folder}:")
    for name, meaning in _CONTENTS.items():
        common.echo(f"  {name:<17} {meaning}")
