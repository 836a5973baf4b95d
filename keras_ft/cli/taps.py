"""Lists the feature maps of a network that Factor Transfer can use.

The default one is marked: the last learned spatial feature map. Name another
with --teacher_layer or --student_layer of `keras-ft distill`.

examples:
  keras-ft taps --model=resnet20
  keras-ft taps --model=MobileNetV2 --image_size=96
  keras-ft taps --model=teacher.keras
  keras-ft taps --run_dir=runs/demo
"""

from pathlib import Path
from typing import Any

from absl import flags

from keras_ft import artifacts
from keras_ft.cli.terminal import quiet_start
from keras_ft.errors import InputError


def define(values: flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.DEFINE_string(
        "model",
        "resnet20",
        "A network of the zoo or of keras.applications by name, a .keras file, "
        "an old .h5, or the arrays (.npz) of a PyTorch ResNet for CIFAR.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "image_size",
        224,
        "Height and width of the images, for a network of keras.applications.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_string(
        "run_dir",
        None,
        "A run folder, instead of --model: its teacher and student.",
        flag_values=values,
    )


def run(values: flags.FlagValues, command_line: list[str]) -> None:
    """Print the table."""
    with quiet_start():
        from keras_ft.features.taps import taps

    for source in _sources(values):
        network = _load(source, values["image_size"].value)
        print(f"{source}\n{taps(network)}\n")


def _sources(values: flags.FlagValues) -> list[str]:
    if values["run_dir"].value is None:
        return [values["model"].value]
    folder = Path(values["run_dir"].value)
    recorded = artifacts.manifest(folder)
    files = ("teacher.keras", "student.keras")
    found = [
        str(artifacts.verify(folder, name))
        for name in files
        if name in recorded
    ]
    if not found:
        raise InputError(
            "--run_dir",
            folder,
            "a run folder with a teacher.keras or a student.keras",
            "Name the folder of a finished train_teacher or distill.",
        )
    return found


def _load(source: str, size: int) -> Any:
    from keras_ft import zoo
    from keras_ft.experiments import networks
    from keras_ft.zoo import network_names

    if source.endswith(network_names.KERAS):
        return networks.load(source)
    if source.endswith((network_names.ARRAYS, *network_names.OLD)):
        return networks.teacher(source)
    if network_names.backbone(source, "--model") is None:
        network_names.check("network", source)
        return zoo.build(source)
    # As a run builds it, so that the names are those of its taps.
    return zoo.backbone(source, 2, (size, size, 3), weights=None)
