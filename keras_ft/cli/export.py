"""Turns a trained student into a .tflite file that was proven to work.

The file takes pixels 0..255 and returns probabilities. It is run in LiteRT on
test images and compared with Keras before it appears.

examples:
  keras-ft export --run_dir=runs/distill --quantization=int8
  keras-ft export --run_dir=runs/distill --compression=qat
  keras-ft export --student=student.keras --dataset=cifar10 \\
      --output=student.tflite
  keras-ft export --run_dir=runs/distill --bundle --author="Ann Example" \\
      --license=Apache-2.0 --package=org.example.shoes
"""

from typing import Any

from absl import flags as absl_flags

from keras_ft.cli import flags
from keras_ft.cli import terminal
from keras_ft.compression.stages import COMPRESSIONS
from keras_ft.errors import InputError
from keras_ft.export.quantizations import QUANTIZATIONS

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
_OF_BUNDLE = ("author", "license", "package")


class _OptionalFolder(absl_flags.ArgumentParser):
    """`--bundle` alone is "", `--bundle=FOLDER` is the folder."""

    def parse(self, argument: str) -> str | None:
        words: dict[str, str | None] = {"true": "", "false": None}
        return words.get(argument, argument)


def define(values: absl_flags.FlagValues) -> None:
    """Define the command's flags."""
    absl_flags.DEFINE_string(
        "run_dir",
        None,
        "A run folder of distill; its student, dataset and normalization are "
        "used, and the file is put there.",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "student",
        None,
        "A .keras file, instead of --run_dir.",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "output",
        None,
        "The file to write, with --student; by default beside it.",
        flag_values=values,
    )
    absl_flags.DEFINE_enum(
        "quantization",
        "none",
        list(QUANTIZATIONS),
        "none is float32; float16 halves the file; dynamic and int8 quarter "
        "it, int8 also computes in integers; int8_io takes and returns uint8 "
        "as well. dynamic_wi8 and dynamic_wi4 (4-bit weights) need "
        "litert-quantizer.",
        flag_values=values,
    )
    absl_flags.DEFINE_enum(
        "fallback",
        None,
        list(QUANTIZATIONS),
        "What to write instead where the check refuses --quantization; by "
        "default nothing.",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "dataset",
        "fashion_mini",
        "With --student: where the names of the classes and the images to "
        "calibrate and to check with come from.",
        flag_values=values,
    )
    absl_flags.DEFINE_enum(
        "compression",
        None,
        list(COMPRESSIONS),
        "With --run_dir: train the student smaller first, beside its teacher: "
        "fewer weights (prune), fewer values (cluster), 8 bits that are "
        "imitated in training (qat), or several of these. int8 unless "
        "--quantization says otherwise.",
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "epochs",
        5,
        "With --compression: of each stage.",
        lower_bound=1,
        flag_values=values,
    )
    flags.define_data_dir(values)
    flags.define_image_files(values)
    bundle = absl_flags.Flag(
        _OptionalFolder(),
        absl_flags.ArgumentSerializer(),
        "bundle",
        None,
        "Write a whole folder for an Android developer instead, int8 unless "
        "--quantization says otherwise. --bundle=FOLDER says where; by default "
        "`bundle` in the run folder, or beside the --student.",
    )
    bundle.boolean = True  # absl's way to let a flag stand alone.
    absl_flags.DEFINE_flag(bundle, values)
    for name, default, meaning in (
        ("author", "", "who made the student."),
        ("license", "", "what one may do with it, such as Apache-2.0."),
        ("package", "com.example.classifier", "package of the Kotlin code."),
    ):
        absl_flags.DEFINE_string(
            name, default, f"With --bundle: {meaning}", flag_values=values
        )


def run(values: absl_flags.FlagValues, command_line: list[str]) -> None:
    """Export or bundle, tell."""
    run_dir, student = values["run_dir"].value, values["student"].value
    if (run_dir is None) == (student is None):
        raise InputError(
            "--run_dir",
            f"{run_dir} with --student={student}",
            "exactly one of --run_dir and --student",
            "Write --run_dir=FOLDER or --student=FILE.keras.",
        )
    for name in flags.image_files(values):
        if run_dir is not None and values[name].present:
            raise InputError(
                f"`--{name}` does not go with `--run_dir`: the run's images "
                "are read as they were for training."
            )
    bundle = values["bundle"].value is not None
    _check_bundle(values, bundle)
    _check_compression(values, bundle)
    with terminal.quiet_start():
        from keras_ft import experiments

    if bundle:
        _bundle(values)
        return
    quantization = values["quantization"].value
    data_dir = values["data_dir"].value
    fallback = values["fallback"].value
    compression = values["compression"].value
    if compression is not None:
        if not values["quantization"].present:
            quantization = "int8"
        path, result = experiments.export_compressed(
            run_dir,
            compression,
            quantization,
            data_dir,
            fallback,
            values["epochs"].value,
        )
    elif run_dir is not None:
        path, result = experiments.export_run(
            run_dir, quantization, data_dir, fallback
        )
    else:
        path, result = experiments.export_file(
            student,
            values["output"].value,
            values["dataset"].value,
            quantization,
            data_dir,
            fallback,
            **flags.image_files(values),
        )
    terminal.tell_file(path, result)


def _check_compression(values: absl_flags.FlagValues, bundle: bool) -> None:
    given = values["compression"].value
    if given is None and values["epochs"].present:
        raise InputError(
            "--epochs",
            values["epochs"].value,
            "--compression beside it",
            "Add --compression=qat, or leave it out.",
        )
    if given is not None and (bundle or values["run_dir"].value is None):
        raise InputError(
            "--compression",
            given,
            "--run_dir, whose teacher it needs, and no --bundle",
            "Write --run_dir=FOLDER with the folder of a finished distill.",
        )


def _check_bundle(values: absl_flags.FlagValues, bundle: bool) -> None:
    """Refuse a flag that does not go with --bundle, or without it."""
    if bundle and values["output"].present:
        raise InputError(
            "`--output` does not go with `--bundle`: write --bundle=FOLDER to "
            "say where."
        )
    for name in () if bundle else _OF_BUNDLE:
        if values[name].present:
            raise InputError(
                f"`--{name}` needs `--bundle`: add it, or leave --{name} out."
            )


def _bundle(values: absl_flags.FlagValues) -> None:
    """Write the folder, tell what is in it."""
    from keras_ft import experiments

    folder = values["bundle"].value or None
    quantization = "int8"
    if values["quantization"].present:
        quantization = values["quantization"].value
    data_dir = values["data_dir"].value
    options = {name: values[name].value for name in (*_OF_BUNDLE, "fallback")}
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
            **flags.image_files(values),
            **options,
        )
    _tell_bundle(result)


def _tell_bundle(result: Any) -> None:
    exported, first = result.exported, result.latencies[0]
    if exported.refusal is not None:
        terminal.echo(
            f"{exported.requested} was refused, and the file is "
            f"{exported.quantization} instead. {exported.refusal}"
        )
    terminal.echo(
        f"student.tflite ({exported.quantization}): {exported.bytes:,} bytes, "
        f"{exported.accuracy:.2%} right (Keras {exported.keras_accuracy:.2%}) "
        f"and the same answer as Keras on {exported.agreement:.1%} of "
        f"{exported.samples:,} images"
    )
    terminal.echo(
        f"{first.median_ms:.3f} ms an image in LiteRT on one thread, "
        f"{result.machine}"
    )
    terminal.echo(f"{result.folder}:")
    for name, meaning in _CONTENTS.items():
        terminal.echo(f"  {name:<17} {meaning}")
