"""The images of a run: loaded, noted, and loaded again as they were."""

import functools
from typing import Any

from keras_ft import artifacts
from keras_ft import data as datasets
from keras_ft.data import augmentation
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.settings import optional_of_load

# What must stay as it was for results of one run to belong together.
_SAME_DATA = ("classes", "input_shape", "sizes", "normalization")


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


def note_dataset(run: RunFolder, data: Any) -> None:
    """Note the dataset in the run; refuse one unlike that of its results.

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
    run.note("dataset", now)
    if run.placement.is_chief:
        labels = "".join(f"{name}\n" for name in data.class_names)
        artifacts.write_text(run.path / "labels.txt", labels)
        artifacts.record(run.path, ["labels.txt"])
