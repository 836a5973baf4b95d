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

from absl import flags

from keras_ft.cli import bundling
from keras_ft.cli import common
from keras_ft.errors import InputError


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    flags.DEFINE_string(
        "run_dir",
        None,
        "A run folder of distill; its student, dataset and normalization are "
        "used, and the file is put there.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "student",
        None,
        "A .keras file, instead of --run_dir.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "output",
        None,
        "The file to write, with --student; by default beside it.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "quantization",
        "none",
        common.QUANTIZATIONS,
        "none is float32; float16 halves the file; dynamic and int8 quarter "
        "it, int8 also computes in integers; int8_io takes and returns uint8 "
        "as well. dynamic_wi8 and dynamic_wi4 (4-bit weights) need "
        "litert-quantizer.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "fallback",
        None,
        common.QUANTIZATIONS,
        "What to write instead where the check refuses --quantization; by "
        "default nothing.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "dataset",
        "fashion_mini",
        "With --student: where the images to calibrate and to check with come "
        "from.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "compression",
        None,
        common.COMPRESSIONS,
        "With --run_dir: train the student smaller first, beside its teacher: "
        "fewer weights (prune), fewer values (cluster), 8 bits that are "
        "imitated in training (qat), or several of these. int8 unless "
        "--quantization says otherwise.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "epochs",
        5,
        "With --compression: of each stage.",
        lower_bound=1,
        flag_values=values,
    )
    common.define_data_dir(values)
    bundling.define(values)


def run(values: flags.FlagValues, command_line: list[str]) -> None:
    """Export or bundle, tell."""
    run_dir, student = values["run_dir"].value, values["student"].value
    if (run_dir is None) == (student is None):
        raise InputError(
            "--run_dir",
            f"{run_dir} with --student={student}",
            "exactly one of --run_dir and --student",
            "Write --run_dir=FOLDER or --student=FILE.keras.",
        )
    bundle = bundling.is_asked(values)
    _check_compression(values, bundle)
    with common.quiet_start():
        from keras_ft import experiments

    if bundle:
        bundling.run(values)
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
        )
    _tell(path, result)


def _check_compression(values: flags.FlagValues, bundle: bool) -> None:
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


def _tell(path: Any, result: dict[str, Any]) -> None:
    if result["refusal"] is not None:
        common.echo(
            f"{result['requested']} was refused, and the file is "
            f"{result['quantization']} instead. {result['refusal']}"
        )
    common.echo(
        f"{path}  {result['bytes']:,} bytes, {result['accuracy']:.2%} right "
        f"and the same answer as Keras on {result['agreement']:.1%} of "
        f"{result['samples']} test images"
    )
