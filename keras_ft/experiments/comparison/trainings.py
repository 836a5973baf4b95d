"""One training of a comparison, in a run folder of its own."""

import gc
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.experiments import models
from keras_ft.experiments import peak_memory
from keras_ft.experiments.balancing import balance
from keras_ft.experiments.comparison import start
from keras_ft.experiments.comparison.bench import Bench
from keras_ft.experiments.comparison.method import Method
from keras_ft.experiments.comparison.outlets import outlet
from keras_ft.experiments.comparison.wrapping import wrapped
from keras_ft.experiments.exporting import export_student
from keras_ft.experiments.exporting import file_name
from keras_ft.experiments.run_folder import RUN_FILE
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.training import read_history
from keras_ft.experiments.workbench import Workbench
from keras_ft.export import ExportError
from keras_ft.layers import Paraphraser
from keras_ft.validation.models import check_finite

PARAPHRASER = "paraphraser"
QUANTIZATION = "int8"
# Not the phase of `keras-ft export`, which may make the file anew on other
# images.
EXPORT = "compared_int8"
REFUSED = "int8_refused"
# The whole test split of the embedded data, and minutes less of a larger one.
EXPORT_IMAGES = 2000


class Trainings:
    """What every seed of a comparison consists of; each step is done once.

    A step that was interrupted continues after its last complete epoch; a
    finished one is found in its folder.

    Args:
        bench: Data, teacher and folders.

    Example:

    >>> trainings = Trainings(bench)
    >>> trainings.teacher_outputs(seed=0)
    >>> trainings.paraphraser(seed=0)
    >>> trainings.student(seed=0, method="ft+kd")
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def teacher_outputs(self, seed: int) -> None:
        """Runs the teacher over all epochs of a seed, once for all methods."""
        self.bench.outputs.batches(seed)

    def paraphraser(self, seed: int) -> None:
        """Phase 1, shared by the methods with a factor term."""
        settings = self.bench.plan.settings
        recipe = settings.recipe
        with self.bench.plan.open(PARAPHRASER, seed) as folder:
            workbench = self._workbench(folder, seed)

            def make() -> dict[str, Any]:
                batches, teacher = self.bench.outputs.batches(seed)
                keras.utils.set_random_seed(seed)
                layer = recipe.paraphraser()
                trainer = recipe.paraphraser_trainer(
                    teacher, layer, outlet("factor"), settings.acceleration
                )
                result = workbench.train(
                    "paraphrase", trainer, recipe.paraphrase, batches
                )
                layer.trained = True
                shape = self.bench.pairs.pairs["factor"][0].shape
                network = keras.Sequential([keras.Input(shape), layer])
                workbench.save(network, "paraphraser.keras")
                return result

            workbench.once("paraphrase", "paraphraser.keras", make)
            if settings.beta_ratio is not None:
                self._balance(workbench, seed)
        gc.collect()

    def student(self, seed: int, method: str) -> None:
        """Trains, evaluates and exports the student by one method."""
        chosen = Method.parse(method)
        with self.bench.plan.open(method, seed) as folder:
            workbench = self._workbench(folder, seed, method)
            workbench.once(
                "student",
                "student.keras",
                lambda: self._train(folder, workbench, chosen, seed),
            )
            if self.bench.plan.exports:
                _export(workbench)
        gc.collect()

    def _train(
        self,
        folder: RunFolder,
        workbench: Workbench,
        method: Method,
        seed: int,
    ) -> dict[str, Any]:
        bench, settings = self.bench, self.bench.plan.settings
        batches: Any = bench.outputs.data(seed)
        teacher = paraphraser = None
        if method.parts:
            batches, teacher = bench.outputs.batches(seed)
        if method.has("ft"):
            paraphraser = self._trained_paraphraser(seed)
        # One seed, and the student first: all methods begin with its weights.
        keras.utils.set_random_seed(seed)
        student = models.build(settings.student, bench.data)
        began: dict[str, Any] = start.of(student, batches)
        start.check_same(bench.plan, seed, began)
        model = wrapped(method, student, bench, teacher, paraphraser)
        if method.has("ft"):
            if settings.beta_ratio is not None:
                model.transfers[0].beta = self._beta(seed)
            began["beta"] = float(model.transfers[0].beta)
        forgot = peak_memory.forget()
        result = workbench.train(
            "student", model, settings.recipe.distil, batches
        )
        if forgot and (memory := peak_memory.measured()) is not None:
            result["memory_bytes"], result["memory_of"] = memory
        # The last step of all may be the one that breaks it.
        check_finite("student", student)
        workbench.save(student, "student.keras")
        rows = read_history(folder, "student")
        result |= began | _last_and_best(rows)
        return result | workbench.evaluated("student.keras")

    def _balance(self, workbench: Workbench, seed: int) -> None:
        """Asks for beta once per seed, for all methods with a factor term."""
        batches, teacher = self.bench.outputs.batches(seed)
        keras.utils.set_random_seed(seed)
        student = models.build(
            self.bench.plan.settings.student, self.bench.data
        )
        paraphraser = self._trained_paraphraser(seed)
        model = wrapped(
            Method.parse("ft"), student, self.bench, teacher, paraphraser
        )
        balance(workbench, model, batches)

    def _beta(self, seed: int) -> float:
        path = self.bench.plan.folder(PARAPHRASER, seed) / RUN_FILE
        content = artifacts.read_json(path, sealed=True)
        return float(content["notes"]["beta"]["beta"])

    def _trained_paraphraser(self, seed: int) -> Paraphraser:
        path = self.bench.plan.folder(PARAPHRASER, seed)
        network = models.load_recorded(path, "paraphraser.keras")
        layer: Paraphraser = network.layers[-1]
        return layer

    def _workbench(
        self, folder: RunFolder, seed: int, method: str = PARAPHRASER
    ) -> Workbench:
        bench, settings = self.bench, self.bench.plan.settings
        return Workbench(
            folder,
            settings,
            lambda line: bench.echo(f"{method}, seed {seed}: {line}"),
            loaded={settings.recipe.distil.batch_size: bench.data},
        )


def _export(workbench: Workbench) -> None:
    if REFUSED in workbench.run.content["notes"]:
        return
    folder, name = workbench.run.path, file_name(QUANTIZATION)

    def make() -> dict[str, Any]:
        student = models.load_recorded(folder, "student.keras")
        return export_student(
            student,
            folder / name,
            workbench.main_data,
            QUANTIZATION,
            samples=EXPORT_IMAGES,
        )

    try:
        workbench.once(EXPORT, name, make)
    except ExportError as error:
        # A result like another: this student cannot be had in 8 bits.
        workbench.run.note(REFUSED, str(error))
        workbench.echo(f"no {QUANTIZATION} file: {error}")


def _last_and_best(rows: list[dict[str, float]]) -> dict[str, Any]:
    known = [row for row in rows if "val_accuracy" in row]
    if not known:
        return {}
    best = max(known, key=lambda row: row["val_accuracy"])
    return {
        "validation_last": known[-1]["val_accuracy"],
        "validation_best": best["val_accuracy"],
        "best_epoch": int(best["epoch"]),
    }
