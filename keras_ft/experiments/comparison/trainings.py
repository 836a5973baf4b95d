"""The trainings of a comparison, each in a run folder of its own."""

import contextlib
import functools
import gc
import hashlib
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft import methods
from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments import run_taps
from keras_ft.experiments import students
from keras_ft.experiments.comparison.named_taps import layer_name
from keras_ft.experiments.comparison.named_taps import with_named_taps
from keras_ft.experiments.datasets import Loader
from keras_ft.experiments.datasets import note_dataset
from keras_ft.experiments.distill import PARAPHRASE_VIEWS
from keras_ft.experiments.distill import TEACHER_OUTPUTS
from keras_ft.experiments.exporting import export_student
from keras_ft.experiments.exporting import file_name
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.run_folder import RUN_FILE
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.run_folder import read_content
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.settings import check_one_batch_size
from keras_ft.export import ExportError
from keras_ft.export.student import classifier_shapes
from keras_ft.feature_cache import FeatureCache
from keras_ft.layers import Paraphraser
from keras_ft.methods import Method

TEACHER_PASSES = ("auto", "cache", "live")
PARAPHRASER, STUDENT = "paraphraser", "student"
QUANTIZATION = "int8"
COMMAND = "compare"
# Not the phase of `keras-ft export`, which may make the file anew on other
# images.
EXPORT, REFUSED = "compared_int8", "int8_refused"
# The whole test split of the embedded data, and minutes less of a larger one.
EXPORT_IMAGES = 2000
# More is not kept on disk without being asked for.
_CACHE_LIMIT = 32 * 2**30
_FLOAT16_BYTES = 2
# What all trainings of a seed begin with, and what an error says of it.
_START = {
    "initial_weights": ("student", "other initial weights"),
    "first_batch": ("dataset", "another first batch of images"),
}


@dataclass(frozen=True)
class Plan:
    """Hold all that a comparison was asked for; it can be pickled.

    Attributes:
        path: The comparison's folder.
        settings: Of all trainings.
        methods: Those that are compared.
        seeds: Those of the trainings.
        teacher_pass: `"cache"`, `"live"` or `"auto"`, see `compare`.
        exports: Whether students become `.tflite` files.
        command_line: Kept for the record.

    Raises:
        InputError: Some of it cannot be done.
    """

    path: Path
    settings: Settings
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    teacher_pass: str = "auto"
    exports: bool = True
    command_line: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.teacher_pass not in TEACHER_PASSES:
            raise InputError(
                "teacher_pass",
                repr(self.teacher_pass),
                f"one of {', '.join(TEACHER_PASSES)}",
                "Use 'auto'.",
            )
        if any(method.has("ft") for method in self.methods):
            check_one_batch_size("recipe", self.settings.recipe)

    @property
    def epochs(self) -> int:
        """Return the epochs of the longest training: what every seed has."""
        recipe = self.settings.recipe
        return max(recipe.distill.epochs, recipe.paraphrase.epochs)

    @property
    def views(self) -> int:
        """Return how many epochs a cache keeps: phase 1 repeats them."""
        recipe = self.settings.recipe
        first = min(recipe.paraphrase.epochs, PARAPHRASE_VIEWS)
        return max(recipe.distill.epochs, first)

    @property
    def configuration(self) -> dict[str, Any]:
        """Return everything that decides the result of a training."""
        content = {"command": COMMAND, **self.settings.configuration()}
        # More methods may follow.
        del content["methods"]
        return content

    def folder(self, name: str, seed: int) -> Path:
        """Return where a training is."""
        return self.path / f"{name}-seed{seed}"

    def folders(self, seed: int | str = "*") -> list[Path]:
        """Return the folders of the trainings that have begun."""
        found = self.path.glob(f"*-seed{seed}/{RUN_FILE}")
        return sorted(path.parent for path in found)

    def has_trained(self) -> bool:
        """Return whether any student was trained to its end."""
        return any(
            STUDENT in read_content(folder, COMMAND)["phases"]
            for folder in self.folders()
        )

    def has_learned(self) -> bool:
        """Return whether anything has begun to learn from the teacher."""
        return any(
            read_content(folder, COMMAND)["phases"]
            or any((folder / "checkpoints").glob("*/*"))
            for folder in self.folders()
            if not folder.name.startswith(f"{methods.PLAIN}-seed")
        )

    def is_trained(self, method: Method, seed: int) -> bool:
        """Return whether a student is there; its export may be missing."""
        content = read_content(self.folder(method.name, seed), COMMAND)
        return STUDENT in content["phases"]

    def is_finished(self, method: Method, seed: int) -> bool:
        """Return whether nothing of a training is left to do."""
        content = read_content(self.folder(method.name, seed), COMMAND)
        if STUDENT not in content["phases"]:
            return False
        exported = EXPORT in content["phases"] or REFUSED in content["notes"]
        return exported or not self.exports


class Trainings:
    """Do the steps that every seed of a comparison consists of, each once.

    A step that was interrupted continues after its last complete epoch; a
    finished one is found in its folder. Every seed has epochs of its own:
    order and augmentation differ between seeds and are the same for all
    methods, so that one pass of the teacher serves all methods and phase 1.

    Args:
        plan: What was asked for.
        teacher: As it was trained.
        data: The images, in batches of phase 2.
        echo: Takes lines of progress.

    Raises:
        InputError: Networks, methods and data do not fit each other, or the
            student cannot become a `.tflite` file and shall.
    """

    def __init__(
        self, plan: Plan, teacher: keras.Model, data: ImageData, echo: Echo
    ) -> None:
        self.plan = plan
        self.teacher = teacher
        self.data = data
        self.echo = echo
        settings = plan.settings
        student = networks.build(settings.student, data, settings.weights)
        if plan.exports:
            classifier_shapes(student)
        notes = read_content(plan.path, COMMAND)["notes"]
        begun = "teacher_pass" in notes
        layers = [
            run_taps.choose(asked, notes, begun, side, network)
            for asked, side, network in (
                (settings.teacher_layer, "teacher", teacher),
                (settings.student_layer, "student", student),
            )
        ]
        taps = methods.tap_pairs(plan.methods, teacher, student, *layers)
        self.taps = taps
        for method in plan.methods:
            methods.check(method, settings.recipe, teacher, student, taps)
        self.pairs = {
            name: (layer_name(name), pair[1].name)
            for name, pair in taps.items()
        }
        self._named_teacher = with_named_taps(
            teacher, {name: pair[0] for name, pair in taps.items()}
        )
        self._logits = methods.use_outputs(plan.methods)
        self._made: dict[int, tuple[Any, keras.Model]] = {}

    @classmethod
    def load(cls, plan: Plan, echo: Echo) -> "Trainings":
        """Return those of a comparison that has begun, from its folder."""
        teacher = networks.load_recorded(plan.path, "teacher.keras")
        load = Loader(plan.settings, run_dir=plan.path)
        data = load(plan.settings.recipe.distill.batch_size)
        return cls(plan, teacher, data, echo)

    def teacher_pass(self) -> str:
        """Return `"cache"` or `"live"`; say why if `"auto"` comes to live."""
        if self.plan.teacher_pass != "auto":
            return self.plan.teacher_pass
        free = shutil.disk_usage(self.plan.path).free
        size = self.cache_bytes()
        if size is not None and size <= min(_CACHE_LIMIT, free // 2):
            return "cache"
        why = (
            "may be of any size"
            if size is None
            else f"would take {size:,} bytes per seed"
        )
        self.echo(f"teacher: runs in every training, as its outputs {why}")
        return "live"

    def cache_bytes(self) -> int | None:
        """Return the size of the cache of one seed, without its labels.

        `None` for a teacher of images of any size.
        """
        sizes, teacher = self.data.sizes, self._named_teacher
        rows = self.plan.views * self.data.rows("train") + sizes["validation"]
        outputs = [
            teacher.get_layer(name).output for name, _ in self.pairs.values()
        ]
        outputs += [teacher.output] * self._logits
        if any(None in output.shape[1:] for output in outputs):
            return None
        numbers = sum(math.prod(output.shape[1:]) for output in outputs)
        return _FLOAT16_BYTES * numbers * (rows + sizes["test"])

    def test_images(self) -> str:
        """Return a digest of the first test batch, as networks see it."""
        x, labels = next(iter(self.data.test))
        sizes = np.array(sorted(self.data.sizes.items()))
        return students.digest([x, labels, sizes])

    def forget(self, seed: int) -> None:
        """Remove what was kept of the teacher's outputs for a seed."""
        self._made.pop(seed, None)
        parent = self.plan.path / TEACHER_OUTPUTS
        # Those for other methods as well: a comparison may have grown.
        for folder in parent.glob(f"seed{seed}-*"):
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # Another seed's is still there.
            parent.rmdir()

    def teacher_outputs(self, seed: int) -> None:
        """Run the teacher over all epochs of a seed, once for all methods."""
        self._source(seed)

    def paraphraser(self, seed: int) -> None:
        """Train phase 1, shared by the methods with a factor term."""
        settings = self.plan.settings
        with self._run(PARAPHRASER, seed) as run:
            paraphraser = students.train_paraphraser(
                run,
                settings.recipe,
                functools.partial(self._source, seed),
                seed,
                layer_name("factor"),
                settings.acceleration,
            )
            if settings.beta_ratio is not None:
                # Asked for once per seed, for all methods with a factor term.
                batches, teacher = self._source(seed)
                keras.utils.set_random_seed(seed)
                student = networks.build(
                    settings.student, self.data, settings.weights
                )
                model = self.build("ft", student, teacher, paraphraser)
                students.measure_beta(run, model, batches, settings.beta_ratio)
        gc.collect()

    def student(self, seed: int, method: str) -> None:
        """Train, evaluate and export the student by one method."""
        settings, chosen = self.plan.settings, methods.parse(method)

        @functools.cache
        def paraphraser() -> Paraphraser | None:
            return self._trained_paraphraser(seed) if chosen.has("ft") else None

        def source() -> tuple[Any, Any]:
            paraphraser()  # Read before the student's seed is set.
            if not chosen.parts:
                return self._data(seed).labelled_only(), None
            return self._source(seed)

        def build(student: Any, teacher: Any, batches: Any) -> keras.Model:
            model = self.build(method, student, teacher, paraphraser())
            if chosen.has("ft") and settings.beta_ratio is not None:
                notes = read_content(
                    self.plan.folder(PARAPHRASER, seed), COMMAND
                )
                beta = notes["notes"]["beta"]["beta"]
                model.transfers[0].beta = float(beta)
            return model

        with self._run(method, seed) as run:
            note_dataset(run, self.data)  # For an export by hand.
            students.train_student(
                run,
                STUDENT,
                "student.keras",
                student=settings.student,
                weights=settings.weights,
                seed=seed,
                schedule=settings.recipe.distill,
                data=self.data,
                source=source,
                build=build,
                check_start=functools.partial(self._check_start, seed, method),
            )
            if self.plan.exports:
                self._export(run)
        gc.collect()

    def _run(self, name: str, seed: int) -> RunFolder:
        """Return the run folder of a training, to be entered."""
        own = {"method": name, "training_seed": seed}
        return RunFolder(
            self.plan.folder(name, seed),
            self.plan.configuration | own,
            self.plan.command_line,
            echo=lambda line: self.echo(f"{name}, seed {seed}: {line}"),
        )

    def _data(self, seed: int) -> ImageData:
        """Return the images in the order and augmentation of a seed."""
        return self.data.starting_at(seed * self.plan.epochs)

    def _source(self, seed: int) -> tuple[Any, keras.Model]:
        """Return what to train on, and the teacher to train with.

        Raises:
            InputError: See `FeatureCache.build`.
        """
        if seed not in self._made:
            # One at a time: it may be in memory in part.
            self._made = {seed: self._make_source(seed)}
        return self._made[seed]

    def _make_source(self, seed: int) -> tuple[Any, keras.Model]:
        data = self._data(seed)
        if self.plan.teacher_pass == "live":
            return data, self._named_teacher
        taps = [name for name, _ in self.pairs.values()]
        # What is kept depends on the methods, and more of them may follow.
        kept = "-".join([*taps, *["logits"] * self._logits])
        name = hashlib.sha256(kept.encode()).hexdigest()[:8]
        cache = FeatureCache.build(
            self.plan.path / TEACHER_OUTPUTS / f"seed{seed}-{name}",
            self._named_teacher,
            data,
            taps=taps,
            logits=self._logits,
            views=self.plan.views,
            acceleration=self.plan.settings.acceleration,
            echo=lambda line: self.echo(f"seed {seed}: {line}"),
        )
        return cache, cache.teacher

    def build(
        self,
        method: str,
        student: keras.Model,
        teacher: keras.Model,
        paraphraser: Paraphraser | None,
    ) -> keras.Model:
        """Return what trains a student by a method, not compiled."""
        settings = self.plan.settings
        return methods.build(
            method,
            settings.recipe,
            teacher,
            student,
            paraphraser,
            self.pairs,
            settings.acceleration,
        )

    def _trained_paraphraser(self, seed: int) -> Paraphraser:
        path = self.plan.folder(PARAPHRASER, seed)
        network = networks.load_recorded(path, "paraphraser.keras")
        layer: Paraphraser = network.layers[-1]
        return layer

    def _check_start(
        self, seed: int, method: str, began: dict[str, str]
    ) -> None:
        """Refuse a start unlike that of the seed's trained students.

        Raises:
            InputError: A file was changed since then, or the data were.
        """
        for folder in self.plan.folders(seed):
            phases = read_content(folder, COMMAND)["phases"]
            known = phases.get(STUDENT, {}).get("result", {})
            # Labels only, without the unlabelled images, sees other batches.
            others = self.data.has_unlabelled and (
                (methods.PLAIN == method)
                != folder.name.startswith(f"{methods.PLAIN}-seed")
            )
            for name, (argument, other) in _START.items():
                if others and name == "first_batch":
                    continue
                if known.get(name, began[name]) != began[name]:
                    raise InputError(
                        argument,
                        f"{other} than {folder.name} began with",
                        "the same for all methods of a seed",
                        "Bring back the student's file, the teacher's and the "
                        "images as they were, or use another run_dir.",
                    )

    def _export(self, run: RunFolder) -> None:
        if REFUSED in run.content["notes"]:
            return
        name = file_name(QUANTIZATION)

        def make() -> dict[str, Any]:
            return export_student(
                networks.load_recorded(run.path, "student.keras"),
                run.path / name,
                self.data,
                QUANTIZATION,
                samples=EXPORT_IMAGES,
            )

        try:
            run.once(EXPORT, [name], make)
        except ExportError as error:
            # A result like another: this student cannot be had in 8 bits.
            run.note(REFUSED, str(error))
            run.echo(f"no {QUANTIZATION} file: {error}")
