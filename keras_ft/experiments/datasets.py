"""The images of a run: loaded, noted, and loaded again as they were."""

import functools
from typing import Any

from keras_ft import artifacts
from keras_ft import data as datasets
from keras_ft.data import augmentation
from keras_ft.data.folder_layout import by_ending
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.settings import optional_of_load
from keras_ft.tables import text_table

# What must stay as it was for results of one run to belong together.
_SAME_DATA = ("classes", "input_shape", "sizes", "normalization")

# Rows of the table of classes, at most.
_CLASSES_SHOWN = 20


def loader(settings: Settings, placement: Placement | None = None) -> Any:
    """Return a function from a batch size to the dataset, loaded once each."""

    @functools.cache
    def load(batch_size: int) -> Any:
        return datasets.load(
            settings.dataset,
            batch_size=batch_size,
            data_dir=settings.data_dir,
            seed=settings.seed,
            augment=settings.augment,
            # As the teacher was trained.
            normalization=networks.teacher_normalization(settings.teacher),
            validation_fraction=settings.validation_fraction,
            train_examples=settings.train_examples,
            **optional_of_load(vars(settings)),
            # Several devices share a batch, which must divide.
            drop_remainder=placement is not None
            and placement.strategy is not None,
        )

    return load


def load_run_data(
    run: RunFolder, data_dir: artifacts.PathLike | None = None
) -> Any:
    """Load the dataset of an earlier run: split, normalized, augmented alike.

    Args:
        run: The run's folder, entered.
        data_dir: Where prepared datasets are.
    """
    about = run.configuration
    kept = run.content["notes"]["dataset"]["normalization"]
    return datasets.load(
        about["dataset"],
        data_dir=data_dir,
        seed=about["seed"],
        augment=augmentation.of_configuration(about),
        normalization=datasets.Normalization(
            tuple(kept["mean"]), tuple(kept["std"])
        ),
        validation_fraction=about["validation_fraction"],
        train_examples=about["train_examples"],
        **optional_of_load(about),
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


def note_dataset(run: RunFolder, data: Any) -> None:
    """Tell of the dataset and note it; refuse one unlike that of the results.

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
    kept = run.content["notes"].get("dataset", {}) if run.holds_results else {}
    for name in _SAME_DATA:
        if kept.get(name, now[name]) != now[name]:
            raise InputError(
                "dataset",
                f"{name} {now[name]}",
                f"{kept[name]}, with which this run was started",
                "Bring back the images, and the teacher to where it was, or "
                "name another --run_dir.",
            )
    for line in table(data):
        run.echo(line)
    run.note("dataset", now)
    if run.placement.is_chief:
        labels = "".join(f"{name}\n" for name in data.class_names)
        artifacts.write_text(run.path / "labels.txt", labels)
        artifacts.record(run.path, ["labels.txt"])
