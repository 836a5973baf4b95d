"""Searches the rate, the weight and more of Factor Transfer.

The teacher's features are computed once, a paraphraser is trained once per
rate, and no finished trial is trained again, however often the command is
killed. Leaves trials.csv, trials.json, report.html and the best trial's
student.keras in the run folder. Of rates, betas and the like, give several
values separated by commas, or two ends as in 10..1000 for all between them
(with another --tuner than grid). Without --epochs the schedules are the
recipe's own.

Several processes search together where keras-tuner's variables are set:
KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT.

examples:
  keras-ft tune --student=resnet8 --paraphrase_epochs=2 --epochs=6
  keras-ft tune --tuner=bayesian --max_trials=30 --rates=0.25,0.5,1,2 \\
      --betas=50..5000 --epochs=6
  python examples/launch_tuner.py --workers=2 -- \\
      keras-ft tune --run_dir=runs/together --epochs=6
"""

from pathlib import Path
from typing import Any

from absl import flags as absl_flags

from keras_ft.cli import flags
from keras_ft.cli import terminal
from keras_ft.errors import InputError

# Kept here as words, because importing the tuners imports Keras. A test
# compares them.
TUNERS = ("random", "grid", "bayesian", "hyperband")
OBJECTIVES = ("val_accuracy", "val_task_loss")
AXES = {
    "rates": "0.25,0.5,0.75,1,2,4",
    "betas": "",
    "ps": "",
    "learning_rates": "",
    "temperatures": "",
    "kd_weights": "",
}
_COPIED = (
    "tuner",
    "max_trials",
    "objective",
    "teacher",
    "pixels",
    "student",
    "teacher_layer",
    "student_layer",
    "views",
    "acceleration",
    "dataset",
    "data_dir",
    "validation_fraction",
    "train_examples",
    "labelled_examples",
    "unlabelled",
    "labelled_share",
    "class_weights",
    "skip_unreadable",
    "seed",
)
_TEXTS = {
    "rates": "Channels of the factor per channel of the features (the paper's "
    "k).",
    "betas": "Weights of the factor term; empty for the recipe's. With one "
    "weight a larger rate pulls less hard at the student.",
    "ps": "Norms of the factor term, 1 and 2; empty for the recipe's.",
    "learning_rates": "At the first step of phase 2; empty for the recipe's.",
    "temperatures": "Of the soft targets of a --method with kd, skd or dkd; "
    "adds kd to another method. Empty for the recipe's.",
    "kd_weights": "Weights of the soft targets of kd, which is added to a "
    "method without; empty for 0.9. Not with skd and dkd.",
}


def define(values: absl_flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.define_run(values, "runs/tune")
    absl_flags.DEFINE_enum(
        "tuner", "grid", TUNERS, "Who chooses the trials.", flag_values=values
    )
    absl_flags.DEFINE_integer(
        "max_trials",
        None,
        "Trials at most; by default all of a grid, 10 of a random or Bayesian "
        "search. Not with hyperband, which derives its trials from the epochs. "
        "A finished search goes on when it is run with more.",
        lower_bound=1,
        flag_values=values,
    )
    absl_flags.DEFINE_enum(
        "objective",
        "val_accuracy",
        OBJECTIVES,
        "What to compare trials by.",
        flag_values=values,
    )
    for name, default in AXES.items():
        absl_flags.DEFINE_list(name, default, _TEXTS[name], flag_values=values)
    flags.define_networks(values, "fashion_mini", "resnet8")
    flags.define_method(values)
    absl_flags.DEFINE_integer(
        "views",
        8,
        "Differently augmented epochs in the feature cache.",
        lower_bound=1,
        flag_values=values,
    )
    flags.define_reduction(values)
    flags.define_weights_of_names(values)
    flags.define_acceleration(values)
    flags.define_data(values)
    flags.define_schedule(values, "in phase 2 of a trial")
    flags.define_paraphrase(values)
    # Others are what --temperatures and --kd_weights are for.
    weights = [name for name in flags.WEIGHTS if "temperature" not in name]
    weights.remove("kd_alpha")
    flags.define_method_weights(values, weights)


def run(values: absl_flags.FlagValues, command_line: list[str]) -> None:
    """Search, report, tell."""
    (method,) = flags.methods(values)
    flags.check_networks(values)
    flags.image_size(values)
    flags.check_reduction(values, "betas")
    with terminal.quiet_start():
        from keras_ft import report
        from keras_ft import tuner

    axes = {name: _axis(name, values[name].value) for name in AXES}
    settings = tuner.SearchSettings(
        recipe=flags.recipe(values),
        method=method,
        augment=flags.augment(values),
        image_size=flags.image_size(values),
        weights=flags.weights(values),
        **{name: values[name].value for name in _COPIED},
        **axes,
    )
    run_dir = Path(values["run_dir"].value)
    found = tuner.tune(run_dir, settings, command_line, terminal.echo)
    if found:
        page = report.write_search(run_dir)
        terminal.echo("")
        for line in report.search_lines(found):
            terminal.echo(line)
        terminal.echo(report.search_headline(found))
        terminal.echo(f"{run_dir / 'student.keras'}  ({page.name} beside it)")


def _axis(name: str, words: list[str]) -> Any:
    """Values, a range, or None for what is not searched."""
    if not words:
        return None
    try:
        if len(words) == 1 and ".." in words[0]:
            low, high = map(float, words[0].split(".."))
            from keras_ft.tuner import LogRange

            return LogRange(low, high)
        return tuple(map(float, words))
    except InputError:
        raise
    except ValueError:
        raise InputError(
            f"--{name}",
            ",".join(words),
            "numbers separated by commas, or two ends as in 10..1000",
            f"Write --{name}=0.5,1.",
        ) from None
