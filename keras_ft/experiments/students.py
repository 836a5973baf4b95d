"""The trainings that runs, comparisons and searches consist of.

Each is done once in the life of its run folder: a finished one is taken from
there, an interrupted one continues after its last complete epoch.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_ft.callbacks import Row
from keras_ft.experiments import networks
from keras_ft.experiments import peak_memory
from keras_ft.experiments.evaluation import evaluate
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.training import best_epoch
from keras_ft.experiments.training import compile_model
from keras_ft.experiments.training import summary
from keras_ft.experiments.training import train
from keras_ft.features.taps import find_tap
from keras_ft.layers import Paraphraser
from keras_ft.models.beta_suggestion import BetaSuggestion
from keras_ft.models.beta_suggestion import suggest_beta
from keras_ft.models.teacher_pass import images_of
from keras_ft.optimizers import Schedule
from keras_ft.recipes import Recipe
from keras_ft.transfers import FactorMatch
from keras_ft.validation.models import check_finite

# A choice: below it the loss of phase 1 still falls quickly with every epoch.
POOR_VARIANCE = 0.8

# Batches to train on, and the teacher to train with; called when needed.
Source = Callable[[], tuple[Any, keras.Model]]


def train_paraphraser(
    run: RunFolder,
    recipe: Recipe,
    source: Source,
    seed: int,
    layer: str | None = None,
    acceleration: str = "auto",
) -> Paraphraser:
    """Train a paraphraser (phase 1) unless the run has it.

    Args:
        run: Its folder, entered; the result is `paraphraser.keras` there.
        recipe: Rate, loss and schedule.
        source: The batches, and the teacher or what a cache has of it.
        seed: Of the initial weights.
        layer: The teacher's tap; `None` for its last feature map.
        acceleration: `"auto"` or `"none"`, see `Distiller`.

    Returns:
        The paraphraser, read from its file, so that a continued run goes on
        with the very bytes of the first.

    Raises:
        InputError: The rate leaves no channel, training diverges, or a file
            is damaged.
    """
    name, placement = "paraphraser.keras", run.placement

    def make() -> dict[str, Any]:
        data, teacher = source()
        keras.utils.set_random_seed(seed)
        with placement.scope():
            paraphraser = recipe.paraphraser()
            trainer = recipe.paraphraser_trainer(
                teacher, paraphraser, layer, acceleration
            )
        if placement.is_chief and paraphraser.narrowing:
            run.echo(f"paraphraser: {paraphraser.narrowing}")
        rows = train(
            run.path,
            "paraphrase",
            trainer,
            data,
            recipe.paraphrase,
            echo=run.echo,
            placement=placement,
        )
        # A run killed after its last epoch never came to the end of fit.
        trainer.mark_trained()
        shape = find_tap(teacher, layer, "teacher_layer").shape
        save_layer(run, paraphraser, shape, name)
        return summary(trainer, rows) | _variance_kept(rows)

    result = run.once("paraphrase", [name], make)
    if placement.is_chief and "variance_kept" in result:
        for sentence in on_variance(result["variance_kept"]):
            run.echo(f"paraphraser: {sentence}")
    with placement.scope():
        network = networks.load_recorded(run.path, name)
    paraphraser: Paraphraser = network.layers[-1]
    return paraphraser


def on_variance(kept: float) -> list[str]:
    """Return what to tell of a paraphraser that keeps such a share."""
    told = [f"keeps {kept:.1%} of the variance of the teacher's features"]
    if kept < POOR_VARIANCE:
        told.append(
            f"WARNING, less than {POOR_VARIANCE:.0%} is a poor reconstruction, "
            "and the student learns from it. Train phase 1 for more "
            "--paraphrase_steps, or use a larger --rate."
        )
    return told


def measure_beta(
    run: RunFolder, model: keras.Model, data: Any, ratio: float
) -> dict[str, Any]:
    """Ask once per run for the factor's beta, on the first batch.

    Args:
        run: Its folder, entered, which keeps the answer.
        model: What trains in phase 2, before it begins.
        data: The batches of its training.
        ratio: See `suggest_beta`.

    Returns:
        The fields of `BetaSuggestion`.
    """
    found = run.content["notes"].get("beta")
    if found is None:
        with run.placement.scope():
            compile_model(model, data)
        suggestion = suggest_beta(model, data.train_from(0), ratio=ratio)
        found = dataclasses.asdict(suggestion)
        run.note("beta", found)
    run.echo(f"phase 2: {BetaSuggestion(**found)}")
    kept: dict[str, Any] = found
    return kept


def beta_of(run: RunFolder) -> float:
    """Return the factor's beta in a run: the measured one, or the recipe's."""
    measured = run.content["notes"].get("beta")
    if measured is not None:
        return float(measured["beta"])
    return float(run.configuration["recipe"]["beta"])


def train_student(
    run: RunFolder,
    phase: str,
    name: str,
    *,
    student: str,
    weights: str | None,
    seed: int,
    schedule: Schedule,
    data: Any,
    source: Source,
    build: Callable[[keras.Model, keras.Model, Any], keras.Model],
    check_start: Callable[[dict[str, str]], None] | None = None,
) -> dict[str, Any]:
    """Train, save and measure a student unless the run has it.

    Args:
        run: Its folder, entered.
        phase: Names the training in the run.
        name: The student's file, `student*.keras`; the translator of a
            factor term is saved beside it as `translator*.keras`.
        student: See `networks.build`.
        weights: See `networks.build`.
        seed: Of the initial weights.
        schedule: Of the training.
        data: The dataset: its classes, image size and test images.
        source: The batches, and the teacher or what a cache has of it.
        build: Makes what trains of the student, that teacher and the
            batches; see `methods.build`.
        check_start: Given digests of what the training begins with, which
            it may refuse.

    Returns:
        `accuracy`, `examples` and `confusion` on the test split,
        `parameters`; `seconds`, `epochs` and `acceleration` of the training;
        what `best_epoch` returns; `beta` of a factor term; `memory_bytes`
        and `memory_of` where the system tells; `initial_weights` and
        `first_batch`, digests of what the training began with.

    Raises:
        InputError: Training diverges, or a file is damaged.
    """
    placement = run.placement
    names = [name]

    def make() -> dict[str, Any]:
        # A cache that is missing is built before the seed is set.
        batches, teacher = source()
        # One seed, and the student first: all methods begin with its weights.
        keras.utils.set_random_seed(seed)
        with placement.scope():
            network = networks.build(student, data, weights)
        result: dict[str, Any] = dict(_start(network, batches))
        if check_start is not None:
            check_start(result)
        with placement.scope():
            model = build(network, teacher, batches)
        factor = _factor_term(model)
        if factor is not None:
            # Several devices have a copy each, which `float` does not take.
            result["beta"] = float(keras.ops.convert_to_numpy(factor.beta))
            names.append(name.replace("student", "translator"))
        forgot = peak_memory.forget()
        rows = train(
            run.path,
            phase,
            model,
            batches,
            schedule,
            echo=run.echo,
            placement=placement,
        )
        if forgot and (memory := peak_memory.measured()) is not None:
            result["memory_bytes"], result["memory_of"] = memory
        # The last step of all may be the one that breaks it.
        check_finite("student", network)
        save(run, network, name)
        if factor is not None:
            tap = find_tap(network, factor.student_layer_name, "student_layer")
            save_layer(run, factor.translator, tap.shape, names[1])
        result |= summary(model, rows) | best_epoch(rows)
        return result | measure(run, name, data)

    return run.once(phase, names, make)


def _variance_kept(rows: list[Row]) -> dict[str, float]:
    """Return the share after the last epoch, of images kept out if any."""
    last = rows[-1] if rows else {}
    known = ("val_variance_kept", "variance_kept")
    name = next((name for name in known if name in last), None)
    return {} if name is None else {"variance_kept": last[name]}


def save(run: RunFolder, model: keras.Model, name: str) -> None:
    """Save a network of a run; the chief does it."""
    if run.placement.is_chief:
        networks.save(model, run.path / name)


def save_layer(
    run: RunFolder, layer: keras.layers.Layer, shape: Any, name: str
) -> None:
    """Save a layer of a run as the network of this layer alone."""
    save(run, keras.Sequential([keras.Input(shape), layer]), name)


def measure(run: RunFolder, name: str, data: Any) -> dict[str, Any]:
    """Return how good a network of a run is on the test images, and its size.

    Returns:
        `accuracy`, `examples`, `confusion` and `parameters` on the chief;
        nothing on other workers.
    """
    if not run.placement.is_chief:
        return {}
    # Read anew: the trained one is spread over its devices.
    model = networks.load(run.path / name)
    evaluation = evaluate(model, data.test, data.classes)
    return {
        "accuracy": evaluation.accuracy,
        "examples": evaluation.examples,
        "confusion": [list(row) for row in evaluation.confusion],
        "parameters": model.count_params(),
    }


def digest(arrays: Iterable[Any]) -> str:
    """Return the SHA-256 of the bytes of some arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _start(student: keras.Model, batches: Any) -> dict[str, str]:
    x, labels = next(iter(batches.train_from(0)))
    return {
        "initial_weights": digest(student.weights),
        "first_batch": digest([images_of(x), labels]),
    }


def _factor_term(model: keras.Model) -> FactorMatch | None:
    terms = getattr(model, "transfers", ())
    return next((t for t in terms if isinstance(t, FactorMatch)), None)
