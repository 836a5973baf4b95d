"""Does the whole job in minutes, on images that come with the package.

A teacher that saw 60,000 Fashion-MNIST photographs comes along; a small
student learns from it on the few thousand embedded ones. The same student is
trained twice from the same weights: by Factor Transfer, and with labels only
(--baselines=none,kd adds soft targets). Then the .tflite files are written
and run in LiteRT, and report.html tells who won, or that nobody did.

examples:
  keras-ft demo
  keras-ft demo --epochs=30 --run_dir=runs/longer
  keras-ft demo --train_teacher
"""

from absl import flags as absl_flags

from keras_ft.cli import flags
from keras_ft.cli import terminal

PARAPHRASE_STEPS, EPOCHS, TEACHER_EPOCHS = 1000, 20, 12
TEACHER_NETWORK = "resnet20"


def define(values: absl_flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.define_run(values, "runs/demo")
    absl_flags.DEFINE_string(
        "student",
        "resnet8",
        "Name of a network of the zoo.",
        flag_values=values,
    )
    absl_flags.DEFINE_boolean(
        "train_teacher",
        False,
        f"Train a {TEACHER_NETWORK} on the embedded images as teacher, "
        "instead of the one that comes along.",
        flag_values=values,
    )
    flags.define_schedule(
        values,
        "for each student",
        schedule="linear",
        default_epochs=EPOCHS,
        lengths=[("teacher_epochs", TEACHER_EPOCHS, "with --train_teacher")],
    )
    flags.define_paraphrase(values, PARAPHRASE_STEPS)
    flags.define_train_examples(values)
    flags.define_augment(values)
    flags.define_method(values, baselines="none")
    flags.define_quantization(values, "none,int8")


def run(values: absl_flags.FlagValues, command_line: list[str]) -> None:
    """Distill, report, tell."""
    methods, quantizations = flags.methods(values), flags.quantizations(values)
    with terminal.quiet_start():
        from keras_ft import experiments

    trained = values["train_teacher"].value
    settings = experiments.Settings(
        recipe=flags.recipe(values),
        methods=methods,
        train_examples=values["train_examples"].value,
        augment=flags.augment(values),
        seed=values["seed"].value,
        teacher=None if trained else "fashion_mini",
        teacher_network=TEACHER_NETWORK if trained else None,
        student=values["student"].value,
        quantizations=quantizations,
    )
    metrics = experiments.distill(
        values["run_dir"].value, settings, command_line, terminal.echo
    )
    terminal.tell_run(values, metrics, "student.keras")
