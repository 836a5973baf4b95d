"""What every phase of a run needs: data, resumable training, bookkeeping."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_ft import artefacts
from keras_ft import data
from keras_ft.runs import models
from keras_ft.runs.evaluation import evaluate
from keras_ft.runs.progress import Echo
from keras_ft.runs.run_folder import RunFolder
from keras_ft.runs.settings import Settings
from keras_ft.runs.training import history
from keras_ft.runs.training import remove_checkpoint
from keras_ft.runs.training import train
from keras_ft.schedule import Schedule


class Workbench:
    """The data and the folder of a run, with the moves its phases share.

    Args:
        run: The run's folder, entered.
        settings: What to do.
        echo: Takes lines of progress.

    Example:

    >>> bench = Workbench(run, settings, print)
    >>> bench.once("distil", "student.keras", make)
    """

    def __init__(self, run: RunFolder, settings: Settings, echo: Echo) -> None:
        self.run = run
        self.settings = settings
        self.echo = echo
        self._loaded: dict[int, Any] = {}

    def data(self, batch_size: int) -> Any:
        """The dataset in batches of that size, loaded once."""
        if batch_size not in self._loaded:
            self._loaded[batch_size] = load_data(self.settings, batch_size)
        return self._loaded[batch_size]

    @functools.cached_property
    def main_data(self) -> Any:
        """The dataset in the batches of phase 2; noted in `run.json`."""
        loaded = self.data(self.settings.recipe.distil.batch_size)
        about = {
            "name": loaded.name,
            "classes": loaded.classes,
            "input_shape": list(loaded.input_shape),
            "sizes": dict(loaded.sizes),
            "notes": list(loaded.notes),
            "normalization": {
                "mean": list(loaded.normalization.mean),
                "std": list(loaded.normalization.std),
            },
        }
        self.run.note("dataset", about)
        labels = "".join(f"{name}\n" for name in loaded.class_names)
        artefacts.write_text(self.run.path / "labels.txt", labels)
        artefacts.record(self.run.path, ["labels.txt"])
        return loaded

    def once(
        self,
        phase: str,
        name: str,
        make: Callable[[], dict[str, Any]],
    ) -> dict[str, Any]:
        """Do a phase unless its result is there.

        Args:
            phase: Its name.
            name: The file it makes, relative to the run's folder.
            make: Makes the file and returns what to keep about it; further
                files are named under `more_files`.

        Returns:
            What was kept.

        Raises:
            InputError: A file of the finished phase is missing or damaged.
        """
        if self.run.is_finished(phase):
            self.run.verify(phase)
            self.echo(f"{phase}: done before, taken from {name}")
        else:
            result = make()
            names = [name, *result.pop("more_files", [])]
            if (self.run.path / history(phase)).is_file():
                names.append(history(phase))
            self.run.finish(phase, names, result)
        remove_checkpoint(self.run, phase)
        return self.run.result(phase)

    def train(
        self, phase: str, model: keras.Model, schedule: Schedule
    ) -> dict[str, Any]:
        """Train a model as the schedule says; see `training.train`.

        Returns:
            `seconds` and `epochs`.
        """
        loaded = self.data(schedule.batch_size)
        optimizer = schedule.optimizer(loaded.steps_per_epoch)
        if phase == "paraphrase":
            model.compile(optimizer)
        else:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(optimizer, loss, metrics=["accuracy"])
        rows = train(self.run, phase, model, loaded, schedule.epochs, self.echo)
        return {
            "seconds": round(sum(row["seconds"] for row in rows), 1),
            "epochs": len(rows),
        }

    def evaluated(self, model: keras.Model) -> dict[str, Any]:
        """`accuracy`, `examples`, `confusion` on the test split, and size."""
        loaded = self.main_data
        evaluation = evaluate(model, loaded.test, loaded.classes)
        return {
            "accuracy": evaluation.accuracy,
            "examples": evaluation.examples,
            "confusion": [list(row) for row in evaluation.confusion],
            "parameters": model.count_params(),
        }


def load_data(settings: Settings, batch_size: int) -> Any:
    """The settings' dataset, normalised as the teacher was trained."""
    return data.load(
        settings.dataset,
        batch_size=batch_size,
        data_dir=settings.data_dir,
        seed=settings.seed,
        normalization=models.teacher_normalization(settings.teacher),
        validation_fraction=settings.validation_fraction,
        train_examples=settings.train_examples,
    )


def load_run_data(
    run: RunFolder, data_dir: artefacts.PathLike | None = None
) -> Any:
    """The dataset of an earlier run, split and normalised as it was.

    Args:
        run: The run's folder, entered.
        data_dir: Where prepared datasets are.

    Example:

    >>> with RunFolder("runs/first") as run:
    ...     loaded = load_run_data(run)
    """
    about = run.configuration
    kept = run.content["notes"]["dataset"]["normalization"]
    return data.load(
        about["dataset"],
        data_dir=data_dir,
        seed=about["seed"],
        normalization=data.Normalization(
            tuple(kept["mean"]), tuple(kept["std"])
        ),
        validation_fraction=about["validation_fraction"],
        train_examples=about["train_examples"],
    )
