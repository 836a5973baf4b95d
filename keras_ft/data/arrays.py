"""The embedded images as NumPy arrays, for backends without TensorFlow."""

import dataclasses

import numpy as np

from keras_ft.data import fashion_mini
from keras_ft.data import normalization as normalizations
from keras_ft.data import splits as splitting
from keras_ft.data.image_data import summary
from keras_ft.data.load_settings import LoadSettings
from keras_ft.data.normalization import Normalization
from keras_ft.errors import InputError

Labelled = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True, repr=False)
class ImageArrays:
    """A labelled image data set in memory.

    Made by `keras_ft.data.arrays`. Each part is `(images, labels)`: float32
    (N, H, W, C), normalized, and int32 (N,), -1 for no label.

    Attributes:
        name: What was loaded.
        train: In the source's order; `fit` shuffles arrays itself.
        validation: Cut from the source's training images.
        test: The source's test images.
        class_names: One name per label.
        input_shape: (height, width, channels) of an image.
        normalization: Maps pixels to network input.

    Example:

    >>> data = keras_ft.data.arrays("fashion_mini")
    >>> history = student.fit(
    ...     *data.train, validation_data=data.validation, epochs=1)
    """

    name: str
    train: Labelled
    validation: Labelled
    test: Labelled
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    normalization: Normalization

    def __repr__(self) -> str:
        sizes = {part: len(getattr(self, part)[1]) for part in splitting.PARTS}
        labelled = int(np.sum(self.train[1] != splitting.UNLABELLED))
        return summary(
            self.name, sizes, self.input_shape, self.classes, labelled
        )

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)


def arrays(
    name: str = "fashion_mini",
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    labelled_examples: int | None = None,
) -> ImageArrays:
    """Return the embedded images as NumPy arrays; needs no TensorFlow.

    The splits are those that `load` makes with the same arguments. The images
    are not augmented.

    Args:
        name: "fashion_mini", the only embedded set.
        seed: Decides which images are held out for validation.
        validation_fraction: Part of the training images to hold out, 0 to 1.
            With 0, validation is the test split.
        train_examples: Keep so many training images only, drawn with the
            proportions of the classes.
        labelled_examples: Keep the labels of so many of these only, drawn
            likewise; the label of the others is -1.

    Returns:
        An `ImageArrays`.

    Raises:
        InputError: Another set is asked for, or an argument is out of range.

    Example:

    >>> data = keras_ft.data.arrays("fashion_mini", train_examples=1000)
    >>> data.train[0].shape, data.test[0].shape
    ((1000, 28, 28, 1), (2000, 28, 28, 1))
    """
    if name != "fashion_mini":
        raise InputError(
            "name",
            repr(name),
            "'fashion_mini', the embedded set",
            "Read other images with NumPy, keras.utils.PyDataset or Grain.",
        )
    settings = LoadSettings(
        seed=seed,
        validation_fraction=validation_fraction,
        train_examples=train_examples,
        labelled_examples=labelled_examples,
    )
    embedded = fashion_mini.read()
    splits = {}
    for part in ("train", "test"):
        labels = embedded[f"{part}_labels"].astype(np.int32)
        fetch = embedded[f"{part}_images"].__getitem__
        splits[part] = splitting.Split(fetch, labels, np.arange(len(labels)))
    divided, _ = splitting.divide(splits, settings)
    normalization = normalizations.FASHION_MNIST
    train, validation, test = (
        (
            normalization.apply(part.images(np.arange(len(part)))),
            part.labels,
        )
        for part in (divided[name] for name in splitting.PARTS)
    )
    return ImageArrays(
        name=name,
        train=train,
        validation=validation,
        test=test,
        class_names=fashion_mini.CLASS_NAMES,
        input_shape=train[0].shape[1:],
        normalization=normalization,
    )
