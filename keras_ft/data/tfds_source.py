"""Image classification sets of TensorFlow Datasets: found, read, streamed."""

import dataclasses
import difflib
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_ft.data import batches
from keras_ft.data import reachability
from keras_ft.data.image_data import ImageData
from keras_ft.data.image_data import from_batches
from keras_ft.data.load_name import near_folder
from keras_ft.data.load_settings import LoadSettings
from keras_ft.data.normalization import Normalization
from keras_ft.data.splits import PARTS
from keras_ft.data.splits import UNLABELLED
from keras_ft.data.splits import Split
from keras_ft.errors import InputError

STATISTICS_EXAMPLES = 2_000


@dataclasses.dataclass(frozen=True)
class TfdsSource:
    """A prepared set, and its images and labels.

    Attributes:
        builder: The TFDS builder, prepared.
        image_key: Name of its image feature.
        label_key: Name of its label feature.
        class_names: One per label.
        input_shape: (H, W, C) after resizing.
        sizes: Images in each of its labelled splits.
    """

    builder: Any
    image_key: str
    label_key: str
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    sizes: dict[str, int]

    @property
    def bytes(self) -> int:
        """Return how many bytes all its images take in memory."""
        height, width, channels = self.input_shape
        return sum(self.sizes.values()) * height * width * channels

    def dataset(self, instruction: str) -> tf.data.Dataset:
        """Read uint8 images (H, W, C) and int32 labels, always in one order.

        Args:
            instruction: A split or part of it, as in "train[:1000]".
        """

        def pick(example: Any) -> tuple[Any, Any]:
            image = example[self.image_key]
            if image.shape[:2] != self.input_shape[:2]:
                image = batches.resize(image, self.input_shape[:2])
            label = tf.cast(example[self.label_key], tf.int32)
            return tf.ensure_shape(image, self.input_shape), label

        wanted = {self.image_key: True, self.label_key: True}
        return self.builder.as_dataset(
            split=instruction,
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(wanted),
        ).map(pick, num_parallel_calls=batches.cores())

    def splits(self) -> dict[str, Split]:
        """Read all splits into memory, for what they serve as."""
        serving = {split: split for split in self.sizes}
        if self.lacks_test:
            serving["test"] = serving.pop("validation")
        return {
            split: self._in_memory(source) for split, source in serving.items()
        }

    @property
    def lacks_test(self) -> bool:
        """Return whether the validation split has to serve as test split.

        So it is in ImageNet and others whose test images have no labels:
        what is published on them was measured on the validation split.
        """
        return "test" not in self.sizes and "validation" in self.sizes

    def unlabelled(self, split: str) -> Split:
        """Read another split into memory, its labels set to -1.

        Raises:
            InputError: Its images are used with their labels already.
        """
        if split in self.sizes:
            raise InputError(
                "unlabelled",
                repr(split),
                "a split whose images are not used with their labels",
                f"Choose none of {', '.join(self.sizes)}.",
            )
        found = self._in_memory(split)
        labels = np.full_like(found.labels, UNLABELLED)
        return dataclasses.replace(found, labels=labels)

    def _in_memory(self, split: str) -> Split:
        images, labels = [], []
        for some, their_labels in self.dataset(split).batch(1024):
            images.append(some.numpy())
            labels.append(their_labels.numpy())
        return batches.split_in_memory(
            np.concatenate(images), np.concatenate(labels)
        )


def find(name: str, data_dir: str | None, settings: LoadSettings) -> TfdsSource:
    """Find a set by its TFDS name: a prepared folder first, then a download.

    Args:
        name: TFDS name, as in "cifar10" or "imagenet_resized/32x32".
        data_dir: Where TFDS keeps its sets; its own default if `None`.
        settings: Of these, `image_size` counts.

    Raises:
        InputError: The name is unknown, the set is not for image
            classification or it can neither be found nor downloaded.
    """
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        raise _unknown(name) from error
    except ValueError as error:
        # Another form, or no such configuration: a page of what there is.
        first = str(error).strip().partition("\n")[0]
        raise InputError(
            f"'{name}' is no folder, and TFDS cannot make a data set of it: "
            f"{first} {_ANOTHER}"
        ) from error
    image_key, label_key = _keys(name, builder.info.features)
    shape = _shape(name, builder.info.features[image_key], settings)
    if not builder.is_prepared():
        _download(name, builder)
    label = builder.info.features[label_key]
    found = TfdsSource(
        builder, image_key, label_key, tuple(label.names), shape, {}
    )
    sizes = {
        split: builder.info.splits[split].num_examples
        for split in PARTS
        if split in builder.info.splits and _labelled(found, split)
    }
    if "train" not in sizes:
        there = list(builder.info.splits)
        raise InputError(f"{name} has no train split, but {there}. {_ANOTHER}")
    return dataclasses.replace(found, sizes=sizes)


def streamed(
    name: str,
    source: TfdsSource,
    settings: LoadSettings,
    usual: Normalization | None,
) -> ImageData:
    """Make pipelines over a set that is too large for memory.

    Differences from data in memory: an epoch is shuffled within a buffer of
    at most 1 GiB; validation is the end of the source's train split, not a
    stratified draw from it (TFDS stores examples in random order); statistics
    are those of the first 2,000 images.
    """
    if settings.class_weights is not None:
        raise InputError(
            "class_weights",
            repr(settings.class_weights),
            f"None for {name}, which is streamed from disk: its classes are "
            "not counted",
            "Leave it out, or write the images to a folder and name that.",
        )
    instructions, sizes = _parts(source, settings)
    normalization = settings.normalization or usual
    if normalization is None:
        some = source.dataset("train").take(STATISTICS_EXAMPLES)
        blocks = (image.numpy()[None] for image, _ in some)
        normalization = Normalization.of(blocks)
    parts = {
        part: batches.StreamedBatches(
            examples=functools.partial(source.dataset, instructions[part]),
            count=sizes[part],
            image_shape=source.input_shape,
            normalization=normalization,
            **settings.batching(part, len(source.class_names)),
        )
        for part in PARTS
    }
    note = (
        "Streamed from disk: validation and few-example subsets, where the "
        "source has none, are consecutive parts of its train split."
    )
    return from_batches(name, parts, source.class_names, (note,))


def _parts(
    source: TfdsSource, settings: LoadSettings
) -> tuple[dict[str, str], dict[str, int]]:
    """Return TFDS instructions and sizes of the three splits."""
    sizes = dict(source.sizes)
    parts = {split: split for split in sizes}
    if source.lacks_test:
        parts["test"], sizes["test"] = "validation", sizes.pop("validation")
        del parts["validation"]
    first, last = 0, sizes["train"]
    held = round(last * settings.validation_fraction)
    if "test" not in parts:
        parts["test"], sizes["test"] = f"train[:{held}]", held
        first = held
    if "validation" not in parts and held == 0:
        parts["validation"] = parts["test"]
        sizes["validation"] = sizes["test"]
    elif "validation" not in parts:
        parts["validation"] = f"train[{last - held}:]"
        sizes["validation"] = held
        last -= held
    count = settings.train_examples or last - first
    if min(sizes["test"], count) < 1 or count > last - first:
        raise InputError(
            "train_examples or validation_fraction",
            (settings.train_examples, settings.validation_fraction),
            f"images for every split out of {source.sizes}",
            "Use a fraction such as 0.1 and fewer training images.",
        )
    parts["train"] = f"train[{first}:{first + count}]"
    sizes["train"] = count
    return parts, {part: sizes[part] for part in PARTS}


VALIDATION_IS_TEST = "The source's validation split serves as test split."
_ANOTHER = "Choose another data set, or give a folder of images."


def _unknown(name: str) -> InputError:
    names = tfds.list_builders(with_community_datasets=False)
    base = name.partition("/")[0]
    near = difflib.get_close_matches(base, ["fashion_mini", *names])
    if (folder := near_folder(Path(name))) is not None:
        near.insert(0, f"the folder {folder}")
    hint = f"Did you mean {' or '.join(near)}?" if near else "Check the name."
    return InputError(
        f"'{name}' is neither fashion_mini nor the path of an existing folder "
        f"nor a TFDS name. {hint}"
    )


def _keys(name: str, features: Any) -> tuple[str, str]:
    """Return the names of the image feature and of the label feature."""
    kinds = tfds.features.Image, tfds.features.ClassLabel
    items = list(features.items()) if hasattr(features, "items") else []
    found = [[k for k, f in items if isinstance(f, kind)] for kind in kinds]
    if any(not keys for keys in found):
        raise InputError(
            f"{name} has the features {[key for key, _ in items]}, and not an "
            f"image and a class label. {_ANOTHER}"
        )
    # "image" and "label" are what TFDS calls them; cifar100, for example,
    # has "coarse_label" as well.
    chosen = [
        usual if usual in keys else keys[0]
        for usual, keys in zip(("image", "label"), found, strict=True)
    ]
    return chosen[0], chosen[1]


def _shape(
    name: str, feature: Any, settings: LoadSettings
) -> tuple[int, int, int]:
    height, width, channels = feature.shape
    if settings.image_size is not None:
        height, width = settings.image_size
    if None in (height, width):
        raise InputError(
            "image_size",
            f"None for {name}, whose images differ in size",
            "one (height, width) for all images",
            "Pass for example image_size=(64, 64).",
        )
    if channels is None or feature.np_dtype != np.uint8:
        raise InputError(
            f"{name} has images {feature.shape} {feature.np_dtype}, and not "
            f"8-bit ones with a fixed number of channels. {_ANOTHER}"
        )
    return height, width, channels


def _labelled(found: TfdsSource, split: str) -> bool:
    # The test split of some sets, imagenet2012 for one, has label -1 only.
    for example in found.builder.as_dataset(split=split).take(1):
        return int(example[found.label_key]) >= 0
    return False


def _download(name: str, builder: Any) -> None:
    where = Path(builder.data_dir)
    missing = {
        url: facts
        for url, facts in builder.url_infos.items()
        if url not in _downloaded(builder)
    }
    manual = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    problem = None if manual else reachability.unreachable(missing)
    fix = (
        f"Connect to the network, or copy a prepared folder to {where}, or "
        'use data_dir= to say where it is; "fashion_mini" needs neither.'
    )
    if problem:
        raise InputError(
            f"{name} is not prepared at {where} and cannot be downloaded "
            f"({problem}). {fix}"
        )
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise InputError(
            f"{name} is not prepared at {where}, and TFDS could not prepare it "
            f"({type(error).__name__}: {str(error).strip()[:500]}). "
            f"{(manual or '').strip() or fix}"
        ) from error


def _downloaded(builder: Any) -> set[str]:
    """Return addresses whose files TFDS will find in its download folders."""
    # full_name is "set/version" or "set/config/version", as the folders are.
    depth = builder.info.full_name.count("/")
    downloads = Path(builder.data_dir).parents[depth] / "downloads"
    have = {
        url
        for info in downloads.glob("*.INFO")
        for url in json.loads(info.read_text()).get("urls", ())
    }
    by_hand = {path.name for path in downloads.glob("manual/*")}
    return have | {
        url
        for url, facts in builder.url_infos.items()
        if facts.filename in by_hand
    }
