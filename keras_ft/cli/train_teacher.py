"""Trains a network to distill from.

Leaves teacher.keras, metrics.json and report.html in the run folder; give that
folder to `keras-ft distill --teacher=...`. Without --epochs the schedule is
the recipe's own, which on a few cores takes hours.

examples:
  keras-ft train_teacher --network=resnet20 --epochs=10
  keras-ft train_teacher --dataset=cifar10 --network=resnet56 \\
      --run_dir=runs/resnet56
"""

from absl import flags as absl_flags

from keras_ft.cli import flags
from keras_ft.cli import terminal
from keras_ft.zoo import network_names


def define(values: absl_flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.define_run(values, "runs/teacher")
    absl_flags.DEFINE_string(
        "network",
        "resnet20",
        "Name of a network of the zoo, such as resnet56, wrn40_2 or vgg13, or "
        "of keras.applications, such as MobileNetV2: that one's head is fitted "
        "first, then all of it; --recipe and --epochs are not for it.",
        flag_values=values,
    )
    flags.define_fine_tuning(values)
    flags.define_strategy(values)
    flags.define_data(values)
    flags.define_schedule(values, "for the teacher")


def run(values: absl_flags.FlagValues, command_line: list[str]) -> None:
    """Train, report, tell."""
    flags.check_networks(values)
    flags.image_size(values)
    with terminal.quiet_start():
        from keras_ft import experiments
        from keras_ft.recipes import Recipe

        placement = terminal.place(values)
    names = ("batch_size", "learning_rate", "schedule")
    preset = Recipe.preset(values["recipe"].value)
    recipe = preset.scheduled(
        teacher_epochs=values["epochs"].value or preset.teacher.epochs,
        **{name: values[name].value for name in names},
    )
    is_backbone = network_names.backbone(values["network"].value) is not None
    source = "teacher" if is_backbone else "teacher_network"
    settings = experiments.Settings(
        recipe=recipe,
        dataset=values["dataset"].value,
        data_dir=values["data_dir"].value,
        train_examples=values["train_examples"].value,
        labelled_examples=values["labelled_examples"].value,
        unlabelled=values["unlabelled"].value,
        labelled_share=values["labelled_share"].value,
        class_weights=values["class_weights"].value,
        skip_unreadable=values["skip_unreadable"].value,
        validation_fraction=values["validation_fraction"].value,
        augment=flags.augment(values),
        image_size=flags.image_size(values),
        seed=values["seed"].value,
        **flags.fine_tuning(values),
        **{source: values["network"].value},
    )
    metrics = experiments.train_teacher(
        values["run_dir"].value,
        settings,
        command_line,
        terminal.echo if placement.is_chief else terminal.silent,
        placement,
    )
    if placement.is_chief:
        terminal.tell_run(values, metrics, "teacher.keras")
