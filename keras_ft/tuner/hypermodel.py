"""Factor Transfer as something keras-tuner can search."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from keras_ft import artifacts
from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache
from keras_ft.recipes import Recipe
from keras_ft.tuner import checks
from keras_ft.tuner import keep_best
from keras_ft.tuner import results
from keras_ft.tuner import space
from keras_ft.tuner.lock import locked
from keras_ft.tuner.paraphrasers import Echo
from keras_ft.tuner.rehearsal import rehearse
from keras_ft.tuner.search_error import SearchError
from keras_ft.tuner.space import Axis
from keras_ft.tuner.trial import Trial
from keras_ft.tuner.trials import Student
from keras_ft.tuner.trials import Trials


class FactorTransferHyperModel(keras_tuner.HyperModel):
    """What any tuner of keras-tuner needs to search Factor Transfer.

    The teacher's features are computed once for the whole search, a
    paraphraser is trained once per rate, and both are shared by all trials
    and by all processes that use the same `cache_dir`. So are the trials: one
    that was finished is never trained again, and one that was killed goes on
    after its last complete epoch. All trials start from the same weights and
    see the same batches, so that they differ by their parameters alone.

    The models that a tuner builds, saves and hands out are students: plain
    Keras models, without teacher, paraphraser and translator.

    A trial that fails says why in `results`. keras-tuner ends a search after
    three in a row; `max_consecutive_failed_trials` of a tuner allows more.

    After a kill, search again with `overwrite=True` and a tuner `seed` other
    than 0: one process asks the same, and what is known is answered at once.
    keras-tuner's own resuming works, unless the kill tore one of its files
    or fell between two; and a Bayesian search then asks something else.

    Args:
        teacher: A trained Functional or Sequential model.
        student: Name of a zoo network, or a function of keras-tuner's `hp`
            that returns a new Functional or Sequential model; it may declare
            parameters of its own.
        data: What `keras_ft.data.load` returned, with validation images.
        cache_dir: Folder for features, paraphrasers and trials.
        rates: The paper's k, the headline parameter. This and the following
            are sequences of values above 0, a `LogRange`, or `None` for what
            the recipe says.
        betas: Weight of the factor term.
        ps: Norm of the factor term, 1 or 2.
        learning_rates: At the first step of phase 2.
        temperatures: Of a soft-target term (KD) beside the factor term; there
            is none if this and `kd_weights` are left out. 4 by default.
        kd_weights: Weight of the soft-target term; 0.9 by default.
        recipe: Schedules and all that is not searched; `"official"` if left
            out, which has 164 epochs. Batches are those of the data.
        teacher_layer_name, student_layer_name: Taps; `None` for the last maps.
        views: Differently augmented epochs in the feature cache.
        dtype: Of the cached features, see `FeatureCache.build`.
        seed: Of weights and dropout, at least 0. With `executions_per_trial`
            the n-th execution uses `seed + n`, with the same batches.
        acceleration: `"auto"` or `"none"`, see `Distiller`.
        echo: Takes lines of progress, phase 1 included; `None` shows nothing.
            `verbose` of `search` governs keras-tuner's own output.

    `search` takes `epochs` (the recipe's if left out; Hyperband sets them)
    and `callbacks` for phase 2. With callbacks of yours a killed trial starts
    anew; other ones need another `cache_dir`.

    Raises:
        InputError: An argument is out of range, or validation images are the
            test images, at construction.
        SearchError: An `InputError`, from `search` before the first training:
            an objective other than `val_accuracy` and `val_task_loss`, a
            tuner with a loss, optimizer, metrics or strategy of its own,
            networks that do not fit, or other features in `cache_dir`.

    Example:

    >>> hypermodel = keras_ft.tuner.FactorTransferHyperModel(
    ...     teacher, "resnet8", data, "cache", rates=(0.25, 0.5, 1.0),
    ...     betas=keras_ft.tuner.LogRange(50.0, 5000.0),
    ...     recipe=keras_ft.Recipe.preset("official").short(2, 6),
    ... )
    >>> tuner = keras_tuner.RandomSearch(
    ...     hypermodel, objective="val_accuracy", max_trials=20, seed=1,
    ...     directory="search", overwrite=True,
    ... )
    >>> tuner.search()
    >>> student = hypermodel.best_student(tuner)
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: Student,
        data: ImageData,
        cache_dir: artifacts.PathLike,
        *,
        rates: Axis | None = space.RATES,
        betas: Axis | None = None,
        ps: Axis | None = None,
        learning_rates: Axis | None = None,
        temperatures: Axis | None = None,
        kd_weights: Axis | None = None,
        recipe: Recipe | None = None,
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
        views: int = 8,
        dtype: str = "float16",
        seed: int = 0,
        acceleration: str = "auto",
        echo: Echo | None = print,
    ) -> None:
        super().__init__(name="factor_transfer")
        checks.check_arguments(teacher, data, seed)
        axes = (rates, betas, ps, learning_rates, temperatures, kd_weights)
        self.space = space.Space(dict(zip(space.NAMES, axes, strict=True)))
        self.teacher = teacher
        self.data = data
        self.folder = Path(cache_dir)
        self.recipe = recipe or Recipe.preset("official")
        self.echo = echo
        self._trials = Trials(
            student_source=student,
            data=data,
            folder=self.folder,
            base=self.recipe,
            teacher_layer_name=teacher_layer_name,
            student_layer_name=student_layer_name,
            searched=tuple(self.space.axes),
            kd=temperatures is not None or kd_weights is not None,
            seed=seed,
            acceleration=acceleration,
            echo=echo,
        )
        most = max(self.recipe.paraphrase.epochs, self.recipe.distil.epochs)
        self._cache: FeatureCache | None = None
        self._cache_form: dict[str, Any] = {
            "taps": (teacher_layer_name,),
            "logits": self._trials.kd,
            "views": min(views, most),
            "dtype": dtype,
            "acceleration": acceleration,
        }
        self._checkpoint: Any = None  # of the trial: its executions share it
        self._execution = 0

    def prepare(self) -> FeatureCache:
        """Computes the teacher's features, unless they are there.

        `search` does it. What would fail in every trial is refused before.

        Raises:
            InputError: Networks and data do not fit, or see `FeatureCache`.
        """
        if self._cache is None:
            rehearse(self._trials, self.teacher)
            with locked(self.folder / "features.lock"):
                self._cache = FeatureCache.build(
                    self.folder / "features",
                    self.teacher,
                    self.data,
                    echo=self.echo,
                    **self._cache_form,
                )
        return self._cache

    def build(self, hp: Any) -> keras.Model:
        """A new student; cheap, because tuners call it often."""
        self.space.declare(hp)
        return self._trials.student(hp)

    def fit(
        self,
        hp: Any,
        model: keras.Model,
        *arguments: Any,
        callbacks: Sequence[Any] = (),
        epochs: int | None = None,
        initial_epoch: int = 0,
        verbose: Any = None,
        **more: Any,
    ) -> keras.callbacks.History:
        """Both phases of a trial, or what is known of it.

        Args: What the tuner passes; see the class for those of `search`.

        Returns:
            The rows of phase 2.
        """
        checks.check_call(arguments, more)
        tuner = checks.tuner_of(callbacks)
        objective = checks.check(tuner) if tuner else "val_accuracy"
        epochs = epochs or self.recipe.distil.epochs
        checks.check_epochs(epochs, self.recipe.distil.epochs)
        self.space.declare(hp)
        space.note_epochs(hp, epochs, self.recipe.distil.epochs)
        execution = self._count_executions(callbacks)
        try:
            cache = self.prepare()
            trial = Trial(self._trials, cache, hp, objective, execution)
            folder = trial.done(epochs, callbacks, initial_epoch > 0)
            keep_best.hand_over(callbacks, model, folder, epochs)
        except InputError as error:
            # A trial's own faults have become its failure before.
            raise SearchError.of(error) from error
        return keep_best.history_of(folder, epochs)

    def _count_executions(self, callbacks: Sequence[Any]) -> int:
        found = [c for c in callbacks if keep_best.is_tuners_checkpoint(c)]
        same = bool(found) and found[0] is self._checkpoint
        self._execution = self._execution + 1 if same else 0
        self._checkpoint = found[0] if found else None
        return self._execution

    def best_student(self, tuner: Any) -> keras.Model:
        """The best trial's student at its best epoch, a plain Keras model.

        Args:
            tuner: The tuner after its search, in the chief or alone.

        Raises:
            InputError: No trial has succeeded; keras-tuner's own
                `get_best_models` would hand out one that failed.
        """
        return results.best_student(tuner)

    def results(self, tuner: Any) -> list[dict[str, Any]]:
        """A row per trial, in the order of their parameters.

        Each has the parameters by name, then `score`, `best_epoch`, `epochs`,
        `seconds` (of phase 2), `status` and `message`; what is not known of a
        trial is `None`.

        Args:
            tuner: The tuner after its search, in the chief or alone.
        """
        return results.table(self._trials, self.prepare(), tuner)
