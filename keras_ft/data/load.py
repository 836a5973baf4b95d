"""Load a data set by name: embedded, a folder, or TensorFlow Datasets."""

import dataclasses
import os
from pathlib import Path

import numpy as np

from keras_ft.data import augmentation
from keras_ft.data import fashion_mini
from keras_ft.data import normalization as normalizations
from keras_ft.data.image_data import ImageData
from keras_ft.data.image_data import from_splits
from keras_ft.data.load_name import check_name
from keras_ft.data.load_name import folder_of
from keras_ft.data.load_settings import LoadSettings
from keras_ft.data.load_settings import resolve_image_size
from keras_ft.data.normalization import Normalization
from keras_ft.data.splits import Split
from keras_ft.errors import InputError
from keras_ft.validation.installed import require_tensorflow

# A TFDS set with more bytes of images is streamed from disk every epoch.
MEMORY_LIMIT = 4 * 2**30
USUAL_NORMALIZATION = {
    "cifar10": normalizations.CIFAR10,
    "fashion_mnist": normalizations.FASHION_MNIST,
}


def load(
    name: str | os.PathLike[str] = "fashion_mini",
    batch_size: int = 128,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    augment: str | bool = True,
    normalization: Normalization | None = None,
    validation_fraction: float = 0.1,
    image_size: int | tuple[int, int] | None = None,
    train_examples: int | None = None,
    labelled_examples: int | None = None,
    unlabelled: str | os.PathLike[str] | None = None,
    labelled_share: float | None = None,
    class_weights: str | None = None,
    skip_unreadable: bool = False,
    drop_remainder: bool = False,
) -> ImageData:
    """Load images for training, validation and test.

    The three splits never share an image, except where `validation_fraction`
    is 0. Splits the source lacks are cut from its training images, seeded
    and with the proportions of the classes; a TFDS set with a validation but
    no test split has its validation split used as test, as is usual for
    ImageNet. `notes` of the result says which of this happened.

    A folder's images come as a person sees them: turned as EXIF says, on
    white where they are transparent, 16 bits scaled to 8, print colors in
    RGB, of an animation the first picture. All that Pillow reads is read.

    Args:
        name: "fashion_mini" (embedded: 5,000 + 2,000 grey 28x28 images of
            Fashion-MNIST), an existing folder (`train/<class>/*.jpg`, beside
            it `validation/` and `test/` if there are, in any usual spelling
            such as `Training/` or `val_set/`, or just `<class>/*.jpg`), or
            the TFDS name of an image classification set, which is looked for
            in `data_dir` first and downloaded second. A folder's
            `unlabelled/` is used as `unlabelled`.
        batch_size: Images per batch.
        data_dir: Where TFDS keeps its sets; `~/tensorflow_datasets` if `None`.
        seed: Decides splits, order and augmentation; the same seed gives the
            same batches.
        augment: What is done to training images, new ones each epoch: "none"
            (or `False`), or a sum such as "crop+flip+mixup" of "crop" (pad an
            eighth of the shorter side, at least 4 pixels, and crop a random
            window), "flip" (left to right), "randaugment" (two of the 14
            operations of Cubuk et al. 2020, at torchvision's magnitude, 9 of
            30), "mixup" (Zhang et al. 2018) and "cutmix" (Yun et al. 2019),
            with which labels become rows, see `ImageData`. `True` is the data
            set's default: "crop" for those of digits and letters that TFDS
            has, as a mirrored one is another or none, else "crop+flip".
        normalization: Replaces the default, which is the customary one for
            cifar10 and Fashion-MNIST, else that of the source's training
            images (float64; every n-th image of more than 60,000).
        validation_fraction: Part of the training images to cut off for
            validation, 0 to 1, where the source has no validation split.
            With 0, validation is the test split.
        image_size: (height, width) to resize to, or one number for both;
            `None` keeps the size.
        train_examples: Train on so many images only, drawn with the
            proportions of the classes after validation was cut off: another
            number leaves validation and test as they are.
        labelled_examples: Keep the labels of so many training images only,
            drawn with the proportions of the classes; the others become
            unlabelled.
        unlabelled: More training images, without labels: a folder of image
            files, whose subfolders are read as well, or, for a TFDS set, the
            name of another of its splits, as "unlabelled" for stl10.
        labelled_share: Part of every training batch that has labels, above 0
            and below 1. By default a quarter, or the labelled images' part of
            all where that is more.
        class_weights: "balanced" has `class_weights` of the result say by how
            much labels of rare classes should count more, so that all classes
            count alike. Not for sets that are streamed from disk.
        skip_unreadable: Go on without the files of a folder that are no whole
            images, and say so in `notes`, instead of refusing them.
        drop_remainder: Leave out a last training batch that is not full, as
            several devices and static shapes need. Validation and test stay
            whole.

    Returns:
        An `ImageData`. Up to 4 GiB of a TFDS set's images are held in
        memory. A folder's are decoded once, into a file in the folder for
        temporary files (`TMPDIR`), which is mapped into memory.
        With unlabelled images, see there what a training batch holds.

    Raises:
        InputError: An argument is out of range or unknown, mixup or cutmix
            have one image per batch, the set is unknown or not
            for image classification, it is neither on disk nor to be
            downloaded, or TensorFlow is not installed.

    Example:

    >>> data = keras_ft.data.load(
    ...     "fashion_mini", batch_size=64, train_examples=1000)
    >>> data.classes, data.input_shape, data.steps_per_epoch
    (10, (28, 28, 1), 16)
    >>> data = keras_ft.data.load("fashion_mini", labelled_examples=500)
    >>> images, labels = next(iter(data.train))
    >>> int((labels >= 0).numpy().sum()), len(labels)
    (32, 128)
    """
    settings = LoadSettings(
        batch_size=batch_size,
        seed=seed,
        augment=augmentation.resolve(augment, str(name)),
        normalization=normalization,
        validation_fraction=validation_fraction,
        image_size=resolve_image_size(image_size),
        train_examples=train_examples,
        labelled_examples=labelled_examples,
        unlabelled=None if unlabelled is None else os.fspath(unlabelled),
        labelled_share=labelled_share,
        class_weights=class_weights,
        skip_unreadable=skip_unreadable,
        drop_remainder=drop_remainder,
    )
    require_tensorflow(
        "keras_ft.data.load",
        'Use keras_ft.data.arrays("fashion_mini"), or pass NumPy arrays, a '
        "keras.utils.PyDataset or a Grain dataset to fit().",
    )
    check_name(name)
    path = folder_of(name)
    if name == "fashion_mini":
        return _embedded(settings)
    if path.is_dir():
        return _folder(path, settings)
    return _tfds(str(name), data_dir, settings)


# TensorFlow and TFDS are imported where they are used: `import keras_ft` must
# work without TensorFlow, and the embedded data must not wait for TFDS.


def _embedded(settings: LoadSettings) -> ImageData:
    from keras_ft.data.batches import split_in_memory

    if settings.image_size not in (None, (28, 28)):
        raise InputError(
            "image_size",
            settings.image_size,
            "None or (28, 28) for fashion_mini",
            "Leave it out.",
        )
    arrays = fashion_mini.read()
    splits = {
        part: split_in_memory(
            arrays[f"{part}_images"], arrays[f"{part}_labels"]
        )
        for part in ("train", "test")
    }
    unlabelled, notes = _unlabelled_folder(settings, (28, 28, 1))
    return from_splits(
        "fashion_mini",
        splits,
        fashion_mini.CLASS_NAMES,
        settings,
        normalizations.FASHION_MNIST,
        unlabelled,
        notes,
    )


def _folder(path: Path, settings: LoadSettings) -> ImageData:
    from keras_ft.data import image_folder

    found = image_folder.read(
        path, settings.image_size, settings.skip_unreadable
    )
    shape = found.splits["train"].images(np.arange(1)).shape[1:]
    if found.unlabelled is not None and settings.unlabelled is None:
        settings = dataclasses.replace(
            settings, unlabelled=str(found.unlabelled)
        )
    unlabelled, notes = _unlabelled_folder(settings, shape)
    return from_splits(
        path.name or path.resolve().name,
        found.splits,
        found.class_names,
        settings,
        unlabelled=unlabelled,
        notes=found.notes + notes,
        files=found.files,
    )


def _unlabelled_folder(
    settings: LoadSettings, shape: tuple[int, int, int]
) -> tuple[Split | None, tuple[str, ...]]:
    """Return the images without labels, and sentences on them."""
    from keras_ft.data import image_folder

    if settings.unlabelled is None:
        return None, ()
    folder = Path(settings.unlabelled).expanduser()
    if not folder.is_dir():
        raise InputError(
            "unlabelled",
            repr(settings.unlabelled),
            "a folder of images",
            "Check the path.",
        )
    return image_folder.read_unlabelled(
        folder, shape, settings.image_size, settings.skip_unreadable
    )


def _tfds(
    name: str, data_dir: str | os.PathLike[str] | None, settings: LoadSettings
) -> ImageData:
    from keras_ft.data import tfds_source

    where = None if data_dir is None else os.fspath(Path(data_dir).expanduser())
    source = tfds_source.find(name, where, settings)
    usual = USUAL_NORMALIZATION.get(name.partition("/")[0])
    if source.bytes > MEMORY_LIMIT:
        if settings.labelled_examples or settings.unlabelled:
            raise InputError(
                f"{name} has more images than memory shall hold, and is "
                "streamed from disk: unlabelled images cannot be mixed in. "
                "Write the images to a folder and name that."
            )
        return tfds_source.streamed(name, source, settings, usual)
    split = settings.unlabelled
    unlabelled: Split | None
    notes: tuple[str, ...]
    if split is not None and split in source.builder.info.splits:
        unlabelled, notes = source.unlabelled(split), ()
    else:
        unlabelled, notes = _unlabelled_folder(settings, source.input_shape)
    if source.lacks_test:
        notes = (tfds_source.VALIDATION_IS_TEST, *notes)
    return from_splits(
        name,
        source.splits(),
        source.class_names,
        settings,
        usual,
        unlabelled,
        notes,
    )
