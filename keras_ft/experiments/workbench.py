"""What every phase of a run needs: data, resumable training, bookkeeping."""

import functools
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft import data
from keras_ft.distribution.placement import Placement
from keras_ft.experiments import dataset_note
from keras_ft.experiments import models
from keras_ft.experiments.evaluation import evaluate
from keras_ft.experiments.follower import Follower
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.training import compile_model
from keras_ft.experiments.training import history
from keras_ft.experiments.training import remove_checkpoint
from keras_ft.experiments.training import train
from keras_ft.optimizers import Schedule


class Workbench:
    """The data and the folder of a run, with the moves its phases share.

    Args:
        run: The run's folder, entered.
        settings: What to do.
        echo: Takes lines of progress.
        placement: Where it trains; one device if left out.
        loaded: The dataset by batch size, where it is loaded already.

    Example:

    >>> bench = Workbench(run, settings, print)
    >>> bench.once("distil", "student.keras", make)
    """

    def __init__(
        self,
        run: RunFolder | Follower,
        settings: Settings,
        echo: Echo,
        placement: Placement | None = None,
        loaded: Mapping[int, Any] | None = None,
    ) -> None:
        self.run = run
        self.settings = settings
        self.echo = echo
        self.placement = placement or Placement()
        self._loaded: dict[int, Any] = dict(loaded or {})

    def data(self, batch_size: int) -> Any:
        """The dataset in batches of that size, loaded once."""
        if batch_size not in self._loaded:
            self._loaded[batch_size] = load_data(
                self.settings,
                batch_size,
                # Several devices share a batch, which must divide.
                drop_remainder=self.placement.strategy is not None,
            )
        return self._loaded[batch_size]

    @functools.cached_property
    def main_data(self) -> Any:
        """The dataset in the batches of phase 2; noted in `run.json`."""
        loaded = self.data(self.settings.recipe.distil.batch_size)
        dataset_note.keep(self.run, loaded)
        if self.placement.is_chief:
            labels = "".join(f"{name}\n" for name in loaded.class_names)
            artifacts.write_text(self.run.path / "labels.txt", labels)
            artifacts.record(self.run.path, ["labels.txt"])
        return loaded

    def once(
        self,
        phase: str,
        name: str,
        make: Callable[[], dict[str, Any]],
        together: bool = True,
    ) -> dict[str, Any]:
        """Do a phase unless its result is there.

        Args:
            phase: Its name.
            name: The file it makes, relative to the run's folder.
            make: Makes the file and returns what to keep about it; further
                files are named under `more_files`.
            together: Whether every worker makes this call; else the chief.

        Returns:
            What was kept.

        Raises:
            InputError: A file of the finished phase is missing or damaged.
        """
        chief = self.placement.is_chief
        agree = self.placement.agree if together else _alone
        if agree(self.run.is_finished(phase)):
            self.run.verify(phase)
            self.echo(f"{phase}: done before, taken from {name}")
        else:
            result = make()
            names = [name, *result.pop("more_files", [])]
            if (self.run.path / history(phase)).is_file():
                names.append(history(phase))
            self.run.finish(phase, names, result)
        result = agree(self.run.result(phase) if chief else None)
        if chief:
            remove_checkpoint(self.run, phase)
        else:
            self.run.finish(phase, [name], result)
        return result

    def save(self, model: keras.Model, name: str) -> None:
        """Save a network of the run; the chief's part."""
        if self.placement.is_chief:
            models.save(model, self.run.path / name)

    def train(
        self,
        phase: str,
        model: keras.Model,
        schedule: Schedule,
        batches: Any = None,
    ) -> dict[str, Any]:
        """Train a model as the schedule says; see `training.train`.

        Args:
            phase: Its name.
            model: Built in the placement's scope, not compiled.
            schedule: Of this training.
            batches: What to train on, such as a `FeatureCache`; the dataset
                if left out.

        Returns:
            `seconds` and `epochs`, on the chief; and `acceleration`, what
            `FactorTransfer.accelerated` says, where a teacher was used.
        """
        loaded = batches or self.data(schedule.batch_size)
        with self.placement.scope():
            optimizer = schedule.optimizer(loaded.steps_per_epoch)
            compile_model(model, optimizer, labels=phase != "paraphrase")
        with self.placement.whole_batch_statistics(model):
            rows = train(
                self.run,
                phase,
                model,
                loaded,
                schedule.epochs,
                self.echo,
                self.placement,
            )
        result: dict[str, Any] = {
            "seconds": round(sum(row["seconds"] for row in rows), 1),
            "epochs": len(rows),
        }
        accelerated = getattr(model, "accelerated", {})
        return result | ({"acceleration": accelerated} if accelerated else {})

    def evaluated(self, name: str) -> dict[str, Any]:
        """`accuracy`, `examples`, `confusion` on the test split, and size.

        Args:
            name: A file of the run; nothing is measured but by the chief.
        """
        loaded = self.main_data
        if not self.placement.is_chief:
            return {}
        # Read anew: the trained one is spread over its devices.
        model = models.load(self.run.path / name)
        evaluation = evaluate(model, loaded.test, loaded.classes)
        return {
            "accuracy": evaluation.accuracy,
            "examples": evaluation.examples,
            "confusion": [list(row) for row in evaluation.confusion],
            "parameters": model.count_params(),
        }


def _alone(content: Any) -> Any:
    return content


def load_data(
    settings: Settings, batch_size: int, drop_remainder: bool = False
) -> Any:
    """The settings' dataset, normalized as the teacher was trained."""
    return data.load(
        settings.dataset,
        batch_size=batch_size,
        data_dir=settings.data_dir,
        seed=settings.seed,
        normalization=models.teacher_normalization(settings.teacher),
        validation_fraction=settings.validation_fraction,
        train_examples=settings.train_examples,
        drop_remainder=drop_remainder,
    )


def load_run_data(
    run: RunFolder, data_dir: artifacts.PathLike | None = None
) -> Any:
    """The dataset of an earlier run, split and normalized as it was.

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
