"""The embedded images as a data set of TensorFlow Datasets."""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from keras_ft.data.fashion_mini import CLASS_NAMES
from keras_ft.data.fashion_mini import read


class FashionMini(tfds.core.GeneratorBasedBuilder):
    """TFDS builder of `fashion_mini`; it needs no network.

    Importing this module registers it, so that `tfds.load("fashion_mini")`
    works afterwards. `keras_ft.data.load` does not use it: the same arrays
    are at hand without writing TFRecords.

    Example:

    >>> from keras_ft.data.fashion_mini.builder import FashionMini
    >>> builder = FashionMini(data_dir="/tmp/tfds")
    >>> builder.download_and_prepare()
    >>> train = builder.as_dataset(split="train", as_supervised=True)
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        return self.dataset_info_from_configs(
            description="Stratified subset of Fashion-MNIST: 5,000 training "
            "and 2,000 test images, drawn from the official splits.",
            homepage="https://github.com/zalandoresearch/fashion-mnist",
            license="MIT, (c) 2017 Zalando SE",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(names=CLASS_NAMES),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # Nothing to download.
        return {
            split: self._generate_examples(split) for split in ("train", "test")
        }

    def _generate_examples(
        self, split: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        arrays = read()
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        for index, (image, label) in enumerate(
            zip(images, labels, strict=True)
        ):
            yield index, {"image": image, "label": int(label)}
