"""Lists the feature maps of a network that Factor Transfer can use.

The default one is marked: the last spatial feature map. Name another with
--teacher_layer or --student_layer of `keras-ft distill`.

examples:
  keras-ft taps --model=resnet20
  keras-ft taps --model=teacher.keras
"""

from absl import flags

from keras_ft.cli.common import quiet_start


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    flags.DEFINE_string(
        "model",
        "resnet20",
        "A network of the zoo by name, or a .keras file.",
        flag_values=values,
    )


def run(values: flags.FlagValues, command_line: list[str]) -> None:
    """Print the table."""
    with quiet_start():
        from keras_ft import zoo
        from keras_ft.feature_taps import taps
        from keras_ft.runs import models

    source = values["model"].value
    if source.endswith(models.KERAS):
        model = models.load(source)
    else:
        model = zoo.build(source)
    print(taps(model))
