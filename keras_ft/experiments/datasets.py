"""The images of a run: loaded, noted, and loaded again as they were."""

import math
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft import data as datasets
from keras_ft import reading
from keras_ft.data import augmentation
from keras_ft.data.folder_layout import by_ending
from keras_ft.data.normalization import DATASET
from keras_ft.data.normalization import RAW
from keras_ft.data.normalization import Normalization
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments import pixel_ranges
from keras_ft.experiments.pixel_ranges import PixelRange
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import silent
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.run_folder import read_content
from keras_ft.experiments.settings import optional_of_load
from keras_ft.tables import text_table
from keras_ft.zoo import network_names

EMBEDDED = "fashion_mini"  # It has one size.
LABELS = "labels.txt"
# What must stay as it was for results of one run to belong together.
_SAME_DATA = ("classes", "input_shape", "sizes", "normalization")

# Rows of the table of classes, at most.
_CLASSES_SHOWN = 20


class Loader:
    """Load a run's images as its networks take them, its teacher as well.

    Teacher and student may want pixels of different range and size. The
    images have the student's range, and the larger size; the networks get
    layers in front that convert them. What a folder that holds results was
    begun with stays.

    Args:
        settings: Of the run.
        placement: Where it trains; one device if left out.
        run_dir: Its folder, where there is one.
        echo: Takes lines of progress.
        with_student: Whether there is one beside the teacher.
    """

    def __init__(
        self,
        settings: Any,
        placement: Placement | None = None,
        run_dir: artifacts.PathLike | None = None,
        echo: Echo = silent,
        with_student: bool = True,
    ) -> None:
        self.settings = settings
        self._with_student = with_student
        self._placement = placement or Placement()
        self._echo = echo
        self._kept: dict[str, Any] = {}
        if run_dir is not None:
            self._kept = _kept(run_dir, settings.dataset)
        self._loaded: dict[int, Any] = {}
        self._teacher: keras.Model | None = None
        self._ranges: dict[str, PixelRange] | None = None

    def __call__(self, batch_size: int) -> Any:
        """Return the dataset in batches of a size, loaded once each.

        Raises:
            InputError: Networks and images do not fit each other, or the
                teacher is at chance whatever its pixels are.
        """
        if batch_size not in self._loaded:
            self._check_kept()
            data = self._load(batch_size)
            if not self._loaded and self._placement.is_chief:
                for line in table(data):
                    self._echo(line)
            if "normalization" not in self._kept:
                student = self._found(data)["student"]
                data = data.normalized(student.normalization)
            self._loaded[batch_size] = data
        return self._loaded[batch_size]

    @property
    def ranges(self) -> dict[str, Any]:
        """Return which pixels teacher and student take, for `run.json`."""
        if self._ranges is None:
            kept: dict[str, Any] = self._kept.get("pixels", {})
            return kept
        return {who: of.to_dict() for who, of in self._ranges.items()}

    @property
    def fits_teacher(self) -> bool:
        """Return whether the teacher is to be fitted to the dataset."""
        source = self.settings.teacher
        return source is not None and (
            network_names.backbone(source) is not None
        )

    def teacher(self, data: Any) -> keras.Model:
        """Return the teacher that the settings name, for the loaded images.

        It is handed over: a second call reads it anew. One that
        `fits_teacher` has a new head.

        Args:
            data: What this loader returned.
        """
        if self.fits_teacher:
            settings = self.settings
            teacher = networks.build(settings.teacher, data, settings.weights)
            return self.converted(teacher, data)
        teacher, self._teacher = self._fitted_teacher(data), None
        return self.converted(teacher, data)

    def converted(self, teacher: keras.Model, data: Any) -> keras.Model:
        """Return a teacher that takes the pixels of the loaded images."""
        about = self.ranges.get("teacher")
        if about is None:
            return teacher
        return networks.converted(
            teacher,
            data.normalization,
            Normalization.from_dict(about),
            data.input_shape,
        )

    def _check_kept(self) -> None:
        """Refuse a teacher that is now said to take other pixels."""
        kept, settings = self._kept, self.settings
        recorded = networks.recorded_normalization(settings.teacher)
        if not kept or recorded is None or settings.pixels is not None:
            return
        about = kept["pixels"].get("teacher")
        before = (
            Normalization.from_dict(about) if about else kept["normalization"]
        )
        if recorded != before:
            raise InputError(
                "teacher",
                f"one with the normalization {recorded}",
                f"{before}, with which this run was started",
                "Bring back the teacher that was there, or name another "
                "--run_dir.",
            )

    def _load(self, batch_size: int) -> Any:
        settings, kept = self.settings, self._kept
        more = optional_of_load(vars(settings))
        size = kept.get("image_size") or self._size()
        if size is not None:
            more.setdefault("image_size", size)
        return datasets.load(
            settings.dataset,
            batch_size=batch_size,
            data_dir=settings.data_dir,
            seed=settings.seed,
            augment=settings.augment,
            normalization=kept.get("normalization"),
            validation_fraction=settings.validation_fraction,
            train_examples=settings.train_examples,
            # Several devices share a batch, which must divide.
            drop_remainder=self._placement.strategy is not None,
            **more,
        )

    def _size(self) -> tuple[int, int] | None:
        """Return the size that the networks fix, the larger one of two."""
        settings = self.settings
        if settings.image_size is not None or settings.dataset == EMBEDDED:
            return None
        sizes = []
        if settings.teacher is not None and not self.fits_teacher:
            sizes.append(networks.fixed_size(self._read_teacher()))
        if settings.student.endswith(network_names.KERAS):
            sizes.append(networks.fixed_size(networks.load(settings.student)))
        fixed = [size for size in sizes if size is not None]
        return max(fixed, key=math.prod) if fixed else None

    def _read_teacher(self) -> keras.Model:
        if self._teacher is None:
            self._teacher = networks.teacher(self.settings.teacher)
        return self._teacher

    def _fitted_teacher(self, data: Any) -> keras.Model:
        return networks.fitted(self._read_teacher(), data, "teacher")

    def _found(self, data: Any) -> dict[str, PixelRange]:
        if self._ranges is None:
            chief = self._placement.is_chief
            found = self._find(data) if chief else None
            told = self._placement.agree(
                found and {who: of.to_dict() for who, of in found.items()}
            )
            self._ranges = found or {
                who: PixelRange.from_dict(of) for who, of in told.items()
            }
            if chief:
                self._tell()
        return self._ranges

    def _find(self, data: Any) -> dict[str, PixelRange]:
        """Return the ranges of both networks; see `pixel_ranges`."""
        settings = self.settings
        if settings.teacher is None:
            why = "as it is trained from the start"
            teacher = PixelRange(DATASET, data.normalization, why)
        elif self.fits_teacher:
            teacher = pixel_ranges.rescaled_inside(data)
        else:
            teacher = pixel_ranges.of_teacher(
                self._fitted_teacher(data),
                data,
                settings.pixels,
                networks.recorded_normalization(settings.teacher),
            )
        if not self._with_student:
            return {"teacher": teacher, "student": teacher}
        if network_names.backbone(settings.student) is not None:
            student = pixel_ranges.rescaled_inside(data)
        elif settings.student.endswith(network_names.KERAS):
            network = networks.build(settings.student, data)
            student = pixel_ranges.of_student(
                network,
                data,
                teacher,
                networks.recorded_normalization(settings.student),
            )
        else:
            student = pixel_ranges.untrained_student(data, teacher)
        return {"teacher": teacher, "student": student}

    def _tell(self) -> None:
        assert self._ranges is not None
        for who, of in self._ranges.items():
            if who == "student" and not self._with_student:
                continue
            same = of.normalization == self._ranges["teacher"].normalization
            if of.trials or (of.range == RAW if who == "teacher" else not same):
                for line in of.lines(who):
                    self._echo(line)


def _kept(run_dir: artifacts.PathLike, dataset: str) -> dict[str, Any]:
    """Return what a folder's results were made with, as `Loader` needs it."""
    content = read_content(run_dir)
    notes = content["notes"]
    if not content["phases"] or "dataset" not in notes:
        return {}
    if content["configuration"].get("dataset") != dataset:
        return {}  # It will be refused.
    about = notes["dataset"]
    return {
        "normalization": Normalization.from_dict(about["normalization"]),
        "image_size": tuple(about["input_shape"][:2]),
        "pixels": notes.get("pixels", {}),
    }


def load_for(
    student: keras.Model,
    dataset: str,
    data_dir: artifacts.PathLike | None = None,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
) -> tuple[keras.Model, Any]:
    """Load images for a student of a file that is no part of a run.

    Args:
        student: Nothing says what an untrained one takes pixels as: it gets
            the dataset's range.
        dataset: A name that `data.load` knows.
        data_dir: Where prepared datasets are.
        image_size: See `data.load`; `None` for the one the student fixes.
        skip_unreadable: See `data.load`.

    Returns:
        The student, fitted to the images, and what `data.load` returned.

    Raises:
        InputError: They do not fit each other.
    """
    if image_size is None and dataset != EMBEDDED:
        image_size = networks.fixed_size(student)
    data = datasets.load(
        dataset,
        data_dir=data_dir,
        image_size=image_size,
        skip_unreadable=skip_unreadable,
    )
    student = networks.fitted(student, data, "student")
    nothing_known = PixelRange(DATASET, data.normalization, "by default")
    found = pixel_ranges.of_student(student, data, nothing_known)
    return student, data.normalized(found.normalization)


def load_run_data(
    run: RunFolder, data_dir: artifacts.PathLike | None = None
) -> Any:
    """Load the dataset of an earlier run: split, normalized, augmented alike.

    Args:
        run: The run's folder, entered.
        data_dir: Where prepared datasets are.
    """
    run.check_command("distill", "train_teacher", "compare", "tune")
    about = run.configuration
    noted = run.content["notes"]["dataset"]
    more = optional_of_load(about)
    # The networks may have decided on it.
    more.setdefault("image_size", tuple(noted["input_shape"][:2]))
    data = datasets.load(
        about["dataset"],
        data_dir=data_dir,
        seed=about["seed"],
        augment=augmentation.of_configuration(about),
        normalization=Normalization.from_dict(noted["normalization"]),
        validation_fraction=about["validation_fraction"],
        train_examples=about["train_examples"],
        **more,
    )
    _check_labels(run, data)
    return data


def _check_labels(run: RunFolder, data: Any) -> None:
    """Refuse classes that have other names than in the run's `labels.txt`.

    Raises:
        InputError: The file was changed, or the images are in other folders.
    """
    if LABELS not in artifacts.manifest(run.path):
        return
    kept = reading.read_text(artifacts.verify(run.path, LABELS), run.path)
    names = kept.split("\n")[:-1]
    if names != list(data.class_names):
        found = zip(names, data.class_names, strict=False)
        differing = [pair for pair in found if pair[0] != pair[1]]
        old, new = (differing or [(f"{len(names)} classes", data.classes)])[0]
        raise InputError(
            "dataset",
            f"the class {new!r}",
            f"{old!r}, with which this run was started, see "
            f"{run.path / LABELS}",
            "Bring the classes' names back, or name another --run_dir.",
        )


def table(data: Any) -> list[str]:
    """Return lines on the images of a folder, to look at before training.

    How many of each class are in which split, how large they are, what was
    left out, and the notes. None of other sources, which are always alike.

    Args:
        data: What `data.load` returned.
    """
    if data.files is None:
        return []
    counts, sizes = data.class_counts, data.sizes
    rows = [
        [name, *(f"{counts[part][label]:,}" for part in sizes)]
        for label, name in enumerate(data.class_names)
    ]
    if len(rows) > _CLASSES_SHOWN:
        left = len(rows) - _CLASSES_SHOWN + 1
        rows[_CLASSES_SHOWN - 1 :] = [
            [f"and {left:,} more classes", "", "", ""]
        ]
    if data.has_unlabelled:
        without = sizes["train"] - data.labelled_examples
        rows.append(["without a label", f"{without:,}", "", ""])
    rows.append(["in all", *(f"{size:,}" for size in sizes.values())])
    others = {name: n for name, n in data.files.items() if name != "read"}
    used = f"{data.files['read']:,} files used"
    if others:
        used += f", not used {by_ending(others)}"
    height, width, channels = data.input_shape
    colors = "gray" if channels == 1 else "color"
    return [
        f"{data.name}: {used}; {height}x{width} pixels in {colors}",
        *text_table([["class", "training", "validation", "test"], *rows]),
        *data.notes,
        "",
    ]


def note_dataset(
    run: RunFolder, data: Any, ranges: dict[str, Any] | None = None
) -> None:
    """Note the dataset in the run; refuse one unlike that of its results.

    Args:
        run: Its folder, entered.
        data: The images.
        ranges: See `Loader.ranges`.

    Raises:
        InputError: Images came or went, or pixels are scaled otherwise, as
            when the teacher's run folder was moved.
    """
    now = {
        "name": data.name,
        "classes": data.classes,
        "input_shape": list(data.input_shape),
        "sizes": dict(data.sizes),
        "augment": data.augment,
        "notes": list(data.notes),
        "normalization": {
            "mean": list(data.normalization.mean),
            "std": list(data.normalization.std),
        },
    }
    if data.has_unlabelled:
        now["labelled_examples"] = data.labelled_examples
    kept = {}
    if run.holds_results:
        kept = run.content["notes"].get("dataset", {})
        if run.placement.is_chief:
            _check_labels(run, data)
    for name in _SAME_DATA:
        if kept.get(name, now[name]) != now[name]:
            raise InputError(
                "dataset",
                f"{name} {now[name]}",
                f"{kept[name]}, with which this run was started",
                "Bring back the images, and the teacher to where it was, or "
                "name another --run_dir.",
            )
    if ranges:
        run.note("pixels", ranges)
    run.note("dataset", now)
    if run.placement.is_chief:
        labels = "".join(f"{name}\n" for name in data.class_names)
        artifacts.write_text(run.path / LABELS, labels)
        artifacts.record(run.path, [LABELS])
