"""A whole search: from settings to a folder with a table and a student."""

import dataclasses
import os
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner

from keras_ft import artifacts
from keras_ft.experiments import networks
from keras_ft.experiments.datasets import Loader
from keras_ft.experiments.datasets import note_dataset
from keras_ft.experiments.evaluation import evaluate
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import silent
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.tuner import space
from keras_ft.tuner.checks import OBJECTIVES
from keras_ft.tuner.hypermodel import FactorTransferHyperModel
from keras_ft.tuner.settings import AXES
from keras_ft.tuner.settings import SearchSettings
from keras_ft.zoo import network_names

PROJECT = "search"
TRIALS, TABLE, STUDENT = "trials.json", "trials.csv", "student.keras"


def tune(
    run_dir: artifacts.PathLike,
    settings: SearchSettings,
    command_line: Iterable[str] = (),
    echo: Echo = silent,
) -> dict[str, Any]:
    """Search, or continue to.

    No finished trial is trained again and no paraphraser twice. With the
    environment of keras-tuner's own protocol (`KERASTUNER_TUNER_ID`,
    `KERASTUNER_ORACLE_IP`, `KERASTUNER_ORACLE_PORT`) this process is the
    chief, which hands out trials and writes the results, or a worker.

    Args:
        run_dir: The search's folder; all processes share it.
        settings: What to do.
        command_line: Kept for the record.
        echo: Takes lines of progress.

    Returns:
        What `trials.json` holds: `trials`, as
        `FactorTransferHyperModel.results` returns them, `objective`, and of
        the best trial `best` (its values), `best_score`, `best_epochs` of
        the recipe's `epochs`, `test_accuracy` and `test_examples`. Nothing in
        a worker.

    Raises:
        InputError: Settings do not fit each other or the folder, or every
            trial failed.

    Example:

    >>> settings = keras_ft.tuner.SearchSettings(
    ...     recipe=keras_ft.Recipe.preset("official").short(1, 1),
    ...     rates=(0.5,), betas=(50.0, 500.0), views=1, train_examples=256,
    ...     teacher="teacher.keras", student="student.keras")
    >>> found = keras_ft.tuner.tune("runs/search", settings)
    >>> found["best"]["beta"] in (50.0, 500.0)
    True
    """
    if _is_worker():
        _forget_own_file(run_dir)
        load = Loader(settings, run_dir=run_dir)
        hypermodel = _hypermodel(run_dir, settings, load, echo)
        _tuner(run_dir, settings, hypermodel).search(verbose=0)
        return {}
    load = Loader(settings, run_dir=run_dir, echo=echo)
    loaded = load(settings.recipe.distill.batch_size)
    recipe = settings.recipe.in_epochs(loaded.steps_per_epoch)
    settings = dataclasses.replace(settings, recipe=recipe)
    with RunFolder(
        run_dir, settings.configuration(), command_line, echo
    ) as run:
        note_dataset(run, loaded, load.ranges)
        hypermodel = _hypermodel(run_dir, settings, load, echo)
        cache = hypermodel.prepare()
        run.finish("features", [], {"bytes": cache.bytes})
        tuner = _tuner(run_dir, settings, hypermodel)
        tuner.search(verbose=0)
        trials = hypermodel.results(tuner)
        content: dict[str, Any] = {
            "objective": settings.objective,
            "trials": trials,
        }
        _write(run, content)
        student = hypermodel.best_student(tuner)
        networks.save(student, run.path / STUDENT)
        evaluation = evaluate(student, loaded.test, loaded.classes)
        best = tuner.oracle.get_best_trials(1)[0]
        content |= {
            "best": space.values_of(best.hyperparameters),
            "best_score": float(best.score),
            "best_epochs": best.hyperparameters.values.get(
                space.EPOCHS, settings.recipe.distill.epochs
            ),
            "epochs": settings.recipe.distill.epochs,
            "test_accuracy": evaluation.accuracy,
            "test_examples": evaluation.examples,
        }
        _write(run, content)
        run.finish("search", [TRIALS, TABLE, STUDENT], {})
    return content


def _is_worker() -> bool:
    name = os.environ.get("KERASTUNER_TUNER_ID", "chief")
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" not in name


def _forget_own_file(run_dir: artifacts.PathLike) -> None:
    """Remove the worker's file: a kill may have torn it."""
    name = os.environ["KERASTUNER_TUNER_ID"]
    (Path(run_dir) / PROJECT / f"{name}.json").unlink(missing_ok=True)


def _hypermodel(
    run_dir: artifacts.PathLike,
    settings: SearchSettings,
    load: Loader,
    echo: Echo,
) -> FactorTransferHyperModel:
    loaded = load(settings.recipe.distill.batch_size)
    student: Any = settings.student
    if network_names.backbone(student) is not None:

        def student(hp: Any) -> Any:
            return networks.build(settings.student, loaded, settings.weights)

    names = ("recipe", "method", "views", "seed", "acceleration", *AXES)
    return FactorTransferHyperModel(
        load.teacher(loaded),
        student,
        loaded,
        os.path.join(run_dir, "cache"),
        teacher_layer_name=settings.teacher_layer,
        student_layer_name=settings.student_layer,
        echo=echo,
        **{name: getattr(settings, name) for name in names},
    )


def _tuner(
    run_dir: artifacts.PathLike,
    settings: SearchSettings,
    hypermodel: FactorTransferHyperModel,
) -> Any:
    shared: dict[str, Any] = {
        "objective": keras_tuner.Objective(
            settings.objective, OBJECTIVES[settings.objective]
        ),
        # keras-tuner takes 0 for "any".
        "seed": settings.seed + 1,
        # A rate that fails fails with every beta.
        "max_consecutive_failed_trials": 10**9,
        "directory": os.fspath(run_dir),
        "project_name": PROJECT,
        # The oracle's files do not survive every kill. Asked anew it asks the
        # same, and the hypermodel answers what it knows at once.
        "overwrite": not _is_worker(),
    }
    if settings.tuner == "hyperband":
        epochs = settings.recipe.distill.epochs
        return keras_tuner.Hyperband(hypermodel, max_epochs=epochs, **shared)
    kind = {
        "grid": keras_tuner.GridSearch,
        "random": keras_tuner.RandomSearch,
        "bayesian": keras_tuner.BayesianOptimization,
    }[settings.tuner]
    most = settings.max_trials or (None if settings.tuner == "grid" else 10)
    return kind(hypermodel, max_trials=most, **shared)


def _write(run: RunFolder, content: Mapping[str, Any]) -> None:
    artifacts.write_json(run.path / TRIALS, content)
    artifacts.write_csv(run.path / TABLE, content["trials"])
