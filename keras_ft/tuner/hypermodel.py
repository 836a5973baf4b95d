"""Factor Transfer as something keras-tuner can search."""

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import keras
import keras_tuner

from keras_ft import artifacts
from keras_ft import methods
from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.experiments.progress import Echo
from keras_ft.feature_cache import FeatureCache
from keras_ft.recipes import Recipe
from keras_ft.tuner import checks
from keras_ft.tuner import space
from keras_ft.tuner import trial_folder
from keras_ft.tuner.checks import SearchError
from keras_ft.tuner.space import Axis
from keras_ft.tuner.trial import Trial
from keras_ft.tuner.trials import Student
from keras_ft.tuner.trials import Trials


class FactorTransferHyperModel(keras_tuner.HyperModel):
    """Search Factor Transfer with any tuner of keras-tuner.

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
    Do not rely on keras-tuner's own resuming: `GridSearch` does not resume
    (keras-tuner#1055), a Bayesian search then asks something else, and a kill
    may tear a file or fall between two.

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
        temperatures: Of the method's soft targets, KD, SKD or DKD; adds KD to
            a method without. The recipe's by default.
        kd_weights: KD's alpha, 0 to 1: its weight in `(1 - alpha) * labels +
            alpha * KD`, to which the other terms are added. Adds KD to a
            method without. The recipe's, 0.9, by default.
        method: How students are trained, see `keras_ft.methods`: a sum with
            `"ft"`, or another where neither rate nor beta nor p is searched.
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
        metrics: `keras.metrics` objects to watch beside the accuracy; each
            may be the objective, as `keras_tuner.Objective("val_f1", "max")`
            for one of the name `f1`.

    `search` takes `epochs` (the recipe's if left out; Hyperband sets them)
    and `callbacks` for phase 2. With callbacks of yours a killed trial starts
    anew; other ones need another `cache_dir`.

    Raises:
        InputError: An argument is out of range, or validation images are the
            test images, at construction.
        SearchError: An `InputError`, from `search` before the first training:
            an objective other than `val_accuracy`, `val_task_loss` and those
            of `metrics`, a tuner with a loss, optimizer, metrics or strategy
            of its own, networks that do not fit, or other features in
            `cache_dir`.

    Example:

    >>> import keras_tuner
    >>> hypermodel = keras_ft.tuner.FactorTransferHyperModel(
    ...     teacher, lambda hp: keras.models.clone_model(student), data,
    ...     "cache", rates=(0.5,), betas=keras_ft.tuner.LogRange(50.0, 5000.0),
    ...     recipe=keras_ft.Recipe.preset("official").short(1, 1),
    ...     views=1, echo=None,
    ... )
    >>> tuner = keras_tuner.RandomSearch(
    ...     hypermodel, objective="val_accuracy", max_trials=2, seed=1,
    ...     directory="search", overwrite=True,
    ... )
    >>> tuner.search(verbose=0)
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
        method: str = "ft",
        recipe: Recipe | None = None,
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
        views: int = 8,
        dtype: str = "float16",
        seed: int = 0,
        acceleration: str = "auto",
        echo: Echo | None = print,
        metrics: Sequence[keras.metrics.Metric] = (),
    ) -> None:
        super().__init__(name="factor_transfer")
        checks.check_arguments(teacher, data, seed)
        checks.check_metrics(metrics)
        axes = (rates, betas, ps, learning_rates, temperatures, kd_weights)
        self.space = space.Space(dict(zip(space.NAMES, axes, strict=True)))
        self.teacher = teacher
        self.data = data
        self.folder = Path(cache_dir)
        recipe = recipe or Recipe.preset("official")
        self.recipe = recipe.in_epochs(data.steps_per_epoch)
        self.echo = echo
        self._trials = Trials(
            student_source=student,
            data=data,
            folder=self.folder,
            base=self.recipe,
            teacher_layer_name=teacher_layer_name,
            student_layer_name=student_layer_name,
            searched=tuple(self.space.axes),
            method=_with_kd(method, temperatures, kd_weights),
            seed=seed,
            acceleration=acceleration,
            echo=echo,
            metrics=tuple(metrics),
        )
        most = max(self.recipe.paraphrase.epochs, self.recipe.distill.epochs)
        self._cache: FeatureCache | None = None
        self._cache_form: dict[str, Any] = {
            "logits": methods.use_outputs([methods.parse(self._trials.method)]),
            "views": min(views, most),
            "dtype": dtype,
            "acceleration": acceleration,
        }
        self._checkpoint: Any = None  # of the trial: its executions share it
        self._execution = 0

    def prepare(self) -> FeatureCache:
        """Compute the teacher's features, unless they are there.

        `search` does it. What would fail in every trial is refused before.

        Raises:
            InputError: Networks and data do not fit, or see `FeatureCache`.
        """
        if self._cache is None:
            self._trials.check(self.teacher)
            self.folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.folder / "features.lock"):
                self._cache = FeatureCache.build(
                    self.folder / "features",
                    self.teacher,
                    self.data,
                    self._trials.teacher_taps(self.teacher),
                    echo=self.echo,
                    **self._cache_form,
                )
        return self._cache

    def build(self, hp: Any) -> keras.Model:
        """Return a new student; cheap, because tuners call it often."""
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
        """Run both phases of a trial, or take what is known of it.

        Args: What the tuner passes; see the class for those of `search`.

        Returns:
            The rows of phase 2.
        """
        checks.check_call(arguments, more)
        tuner = checks.tuner_of(callbacks)
        objective = keras_tuner.Objective("val_accuracy", "max")
        if tuner:
            objective = checks.check_tuner(tuner, self._trials.metrics)
        epochs = epochs or self.recipe.distill.epochs
        checks.check_epochs(epochs, self.recipe.distill.epochs)
        self.space.declare(hp)
        space.note_epochs(hp, epochs, self.recipe.distill.epochs)
        execution = self._count_executions(callbacks)
        try:
            cache = self.prepare()
            trial = Trial(self._trials, cache, hp, objective, execution)
            folder = trial.run(epochs, callbacks, initial_epoch > 0)
            trial_folder.show_best(callbacks, model, folder, epochs)
        except InputError as error:
            # A trial's own faults have become its failure before.
            raise SearchError.of(error) from error
        return trial_folder.history_of(folder, epochs)

    def _count_executions(self, callbacks: Sequence[Any]) -> int:
        found = [c for c in callbacks if trial_folder.is_tuners_checkpoint(c)]
        same = bool(found) and found[0] is self._checkpoint
        self._execution = self._execution + 1 if same else 0
        self._checkpoint = found[0] if found else None
        return self._execution

    def best_student(self, tuner: Any) -> keras.Model:
        """Return the student of the best trial at its best epoch.

        Args:
            tuner: The tuner after its search, in the chief or alone.

        Raises:
            InputError: No trial has succeeded; keras-tuner's own
                `get_best_models` would hand out one that failed.
        """
        best = tuner.oracle.get_best_trials(1)
        if not best or best[0].status != "COMPLETED":
            raise InputError(
                "tuner",
                "a search without a completed trial",
                "at least one",
                "Read the messages of hypermodel.results(tuner); `keras-ft "
                "tune` leaves them in trials.csv.",
            )
        return tuner.load_model(best[0])

    def results(self, tuner: Any) -> list[dict[str, Any]]:
        """Return a row per trial, in the order of their parameters.

        Each has the parameters by name, then `score`, `best_epoch`, `epochs`,
        `seconds` (of phase 2), `status` and `message`; what is not known of a
        trial is `None`.

        Args:
            tuner: The tuner after its search, in the chief or alone.
        """
        trials, cache = self._trials, self.prepare()
        found = tuner.oracle.trials.values()
        values = [space.values_of(trial.hyperparameters) for trial in found]
        # A parameter may exist in some trials only.
        names = list(dict.fromkeys(itertools.chain(*values)))
        rows = [
            dict.fromkeys(names) | _row(trials, cache, tuner, trial)
            for trial in found
        ]

        def key(row: dict[str, Any]) -> list[tuple[bool, Any]]:
            return [(row[n] is not None, row[n]) for n in (*names, "epochs")]

        return sorted(rows, key=key)


def _with_kd(
    method: str, temperatures: Axis | None, kd_weights: Axis | None
) -> str:
    """Return the method, with KD added where its numbers are searched."""
    parsed = methods.parse(method)
    if parsed.has("kd") or temperatures is None and kd_weights is None:
        return parsed.name
    if parsed.soft_targets is None:
        return methods.parse("+".join([*parsed.parts, "kd"])).name
    if kd_weights is not None:
        raise InputError(
            "kd_weights",
            repr(kd_weights),
            f"None with method='{parsed.name}', whose weights are the recipe's",
            "Leave them out, or search a method with kd.",
        )
    return parsed.name


def _row(
    trials: Trials, cache: FeatureCache, tuner: Any, trial: Any
) -> dict[str, Any]:
    hp, objective = trial.hyperparameters, tuner.oracle.objective
    epochs = hp.values.get(space.EPOCHS, trials.base.distill.epochs)
    row: dict[str, Any] = {
        **space.values_of(hp),
        **dict.fromkeys(space.RESULTS),
    }
    row |= {"status": trial.status, "epochs": epochs}
    if trial.status != "COMPLETED":
        row["message"] = _last_line(trial.message)
        # The student of these values may be what failed.
        with contextlib.suppress(Exception):
            folder = trials.folder_of(
                cache, hp, objective.name, direction=objective.direction
            )
            row["message"] = folder.failure or row["message"]
        return row
    row["score"] = float(trial.score)
    folder, *more = (
        trials.folder_of(
            cache, hp, objective.name, execution, objective.direction
        )
        for execution in range(tuner.executions_per_trial)
    )
    if folder.has(epochs):
        row["best_epoch"] = folder.best(epochs)
        row["epochs"] = len(folder.rows(epochs))
        seconds = sum(each.seconds(epochs) for each in (folder, *more))
        row["seconds"] = round(seconds, 1)
    return row


def _last_line(message: str | None) -> str | None:
    lines = (message or "").strip().splitlines()
    return lines[-1] if lines else None
