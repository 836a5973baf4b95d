"""Does the whole job in minutes, on images that come with the package.

A teacher that saw 60,000 Fashion-MNIST photographs comes along; a small
student learns from it on the few thousand embedded ones. The same student is
trained twice from the same weights: by Factor Transfer, and with labels only
(--baselines=alone,kd adds soft targets). Then the .tflite files are written
and run in LiteRT, and report.html tells who won, or that nobody did.

examples:
  keras-ft demo
  keras-ft demo --epochs=30 --run_dir=runs/longer
  keras-ft demo --train_teacher
"""

from absl import flags

from keras_ft.cli import common
from keras_ft.cli import distill

PARAPHRASE_EPOCHS = 10
EPOCHS = 20
TEACHER_EPOCHS = 12
TEACHER_NETWORK = "resnet20"


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    common.define_run(values, "runs/demo")
    flags.DEFINE_string(
        "student",
        "resnet8",
        "Name of a network of the zoo.",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "train_teacher",
        False,
        f"Train a {TEACHER_NETWORK} on the embedded images as teacher, "
        "instead of the one that comes along.",
        flag_values=values,
    )
    for flag, default, text in (
        ("epochs", EPOCHS, "for each student"),
        ("paraphrase_epochs", PARAPHRASE_EPOCHS, "in phase 1"),
        ("teacher_epochs", TEACHER_EPOCHS, "with --train_teacher"),
    ):
        flags.DEFINE_integer(
            flag,
            default,
            f"Passes over the training images {text}.",
            lower_bound=1,
            flag_values=values,
        )
    flags.DEFINE_integer(
        "train_examples",
        None,
        "Train on only so many images.",
        lower_bound=1,
        flag_values=values,
    )
    distill.define_results(values, baselines="alone", quantization="none,int8")


def run(values: flags.FlagValues, command_line: list[str]) -> None:
    """Distil, report, tell."""
    baselines = common.members(values, "baselines", common.BASELINES)
    quantizations = common.members(values, "quantization", common.QUANTIZATIONS)
    with common.quiet_start():
        from keras_ft import experiments
        from keras_ft.cli import outcome
        from keras_ft.recipes import Recipe

    trained = values["train_teacher"].value
    settings = experiments.Settings(
        recipe=Recipe.preset("official").short(
            values["paraphrase_epochs"].value,
            values["epochs"].value,
            values["teacher_epochs"].value,
        ),
        train_examples=values["train_examples"].value,
        seed=values["seed"].value,
        teacher=None if trained else "fashion_mini",
        teacher_network=TEACHER_NETWORK if trained else None,
        student=values["student"].value,
        baselines=baselines,
        quantizations=quantizations,
    )
    metrics = experiments.distil(
        values["run_dir"].value, settings, command_line, common.echo
    )
    outcome.tell(values, metrics, "student.keras")
