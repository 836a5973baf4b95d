"""One trial: trained, continued, or taken from where it is kept."""

import os
from collections.abc import Sequence
from typing import Any

import filelock
import keras_tuner

from keras_ft import reading
from keras_ft.errors import InputError
from keras_ft.experiments.run_folder import CHECKPOINTS
from keras_ft.experiments.training import train
from keras_ft.feature_cache import FeatureCache
from keras_ft.tuner import space
from keras_ft.tuner.trial_folder import PHASE
from keras_ft.tuner.trial_folder import KeepBest
from keras_ft.tuner.trial_folder import TrialFolder
from keras_ft.tuner.trial_folder import is_tuners_checkpoint
from keras_ft.tuner.trials import Trials


class Trial:
    """A set of values and what becomes of it.

    Args:
        trials: What it shares with the others.
        cache: The teacher's features.
        hp: keras-tuner's parameters, for the student.
        objective: The tuner's.
        execution: Counts the repetitions of the trial.
    """

    def __init__(
        self,
        trials: Trials,
        cache: FeatureCache,
        hp: Any,
        objective: keras_tuner.Objective,
        execution: int,
    ) -> None:
        self.trials = trials
        self.cache = cache
        self.hp = hp
        self.objective = objective
        self.execution = execution
        self.values = space.values_of(hp)

    def run(
        self, epochs: int, callbacks: Sequence[Any], continues: bool
    ) -> TrialFolder:
        """Train the trial for so many epochs; return its folder.

        Args:
            epochs: How many, all of earlier rounds included.
            callbacks: What the tuner passed.
            continues: Whether the tuner goes on with a shorter trial.

        Raises:
            keras_tuner.errors.FailedTrialError: The values cannot be trained.
        """
        try:
            path = self._folder().path
        except InputError as error:
            if _names_a_file(error):
                raise
            # The student that these values make has no such tap.
            raise keras_tuner.errors.FailedTrialError(str(error)) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock")
        reading.check_folder(self.trials.folder)
        reading.check_lock(lock)
        with filelock.FileLock(lock):
            # Read under the lock: another process may just have written it.
            folder = self._folder()
            name = space.label(self.values)
            if folder.has(epochs):
                self.trials.say(f"trial: {name}: done before")
                return folder
            if folder.failure is not None:
                raise keras_tuner.errors.FailedTrialError(folder.failure)
            self.trials.say(f"trial: {name}")
            try:
                self._train(folder, epochs, callbacks, continues)
            except InputError as error:
                if _names_a_file(error):
                    raise
                folder.fail(str(error))
                self.trials.say(f"trial: {name}: failed, {error}")
                # keras-tuner prints the whole trace, causes included.
                raise keras_tuner.errors.FailedTrialError(
                    folder.failure
                ) from None
            self.trials.say(f"trial: {name}: trained")
        return folder

    def _folder(self) -> TrialFolder:
        objective = self.objective
        return self.trials.folder_of(
            self.cache,
            self.hp,
            objective.name,
            self.execution,
            objective.direction,
        )

    def _train(
        self,
        folder: TrialFolder,
        epochs: int,
        callbacks: Sequence[Any],
        continues: bool,
    ) -> None:
        passed = [c for c in callbacks if not is_tuners_checkpoint(c)]
        # Beside the tuner's there are some whose state a kill has taken.
        anew = len(passed) > 1 and not continues
        if anew or not (folder.path / CHECKPOINTS / PHASE).exists():
            folder.clear()
        folder.clear_up()
        recipe = self.trials.recipe(self.values)
        paraphraser = self.trials.paraphraser(self.cache, recipe)
        student = self.trials.student(self.hp, self.execution)
        model = self.trials.distiller(
            self.cache, student, paraphraser, self.values
        )
        rows = train(
            folder.path,
            PHASE,
            model,
            self.cache,
            recipe.distill,
            epochs=epochs,
            echo=self.trials.echo,
            callbacks=[KeepBest(folder, student), *passed],
            metrics=self.trials.metrics,
        )
        folder.finish(rows, epochs, epochs < recipe.distill.epochs)


def _names_a_file(error: InputError) -> bool:
    """Return whether a file is damaged, which is no fault of the values."""
    return os.sep in error.argument
