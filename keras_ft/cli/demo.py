"""Does the whole job in minutes, on images that come with the package.

The case that phone teams have: a good teacher, few labels, many photographs
without one. The teacher learned from 55,000 Fashion-MNIST photographs, and
has seen none of the 4,500 on which a small student learns now; 500 of these
have a label. The same student is trained three times from the same weights,
in as many steps: by Factor Transfer with soft targets, by soft targets alone,
and with labels only. Then the .tflite files are written and run in LiteRT,
and report.html tells what the teacher was worth.

examples:
  keras-ft demo
  keras-ft demo --labelled_examples=100 --run_dir=runs/fewer
  keras-ft demo --all_labels --baselines=none --run_dir=runs/all
  keras-ft demo --train_teacher
"""

from absl import flags as absl_flags

from keras_ft.cli import flags
from keras_ft.cli import terminal

PARAPHRASE_STEPS, EPOCHS, TEACHER_EPOCHS = 1000, 20, 12
LABELLED_EXAMPLES = 500
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
        f"Train a {TEACHER_NETWORK} on the embedded images, with all their "
        "labels, as teacher, instead of the one that comes along.",
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
    absl_flags.DEFINE_integer(
        "labelled_examples",
        LABELLED_EXAMPLES,
        "Keep the labels of only so many training images.",
        lower_bound=1,
        flag_values=values,
    )
    absl_flags.DEFINE_boolean(
        "all_labels",
        False,
        "Keep the labels of all training images.",
        flag_values=values,
    )
    flags.define_augment(values)
    flags.define_method(values, "ft+kd", baselines="none,kd")
    flags.define_quantization(values, "none,int8")


def run(values: absl_flags.FlagValues, command_line: list[str]) -> None:
    """Distill, report, tell."""
    flags.check_networks(values)
    methods, quantizations = flags.methods(values), flags.quantizations(values)
    with terminal.quiet_start():
        from keras_ft import experiments

    trained = values["train_teacher"].value
    all_labels = trained or values["all_labels"].value
    labelled = None if all_labels else values["labelled_examples"].value
    settings = experiments.Settings(
        recipe=flags.recipe(values),
        methods=methods,
        train_examples=values["train_examples"].value,
        labelled_examples=labelled,
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
