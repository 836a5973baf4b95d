"""A data set and its teacher in files small enough to be sent singly."""

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np

import keras_ft
from keras_ft import artifacts
from keras_ft.data import fashion_mini
from keras_ft.data.normalization import FASHION_MNIST
from keras_ft.data.normalization import IMAGENET
from keras_ft.data.normalization import Normalization
from keras_ft.errors import InputError

ABOUT, LABELS, TEACHER = "about.json", "labels.npy", "teacher.npz"
SPLITS = ("train", "test")


@dataclasses.dataclass(frozen=True)
class Packed:
    """Hold what a training needs, as it was packed.

    Attributes:
        train, test: uint8 images (N, H, W, C) and int32 labels (N,).
        teacher: The trained network, which expects `normalization`.
        student: Name of a network of the zoo.
        about: Name of the data, the teacher's and the student's.
        digests: SHA-256 of every file.
    """

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    teacher: keras.Model
    normalization: Normalization
    about: dict
    digests: dict[str, str]

    def new_student(self):
        """Return the student with new weights."""
        images, labels = self.train
        classes = int(labels.max()) + 1
        name = self.about["student"]
        return keras_ft.zoo.build(name, classes, images.shape[1:])


def pack_cifar10(folder, data_dir, teacher, piece_bytes):
    """Write CIFAR-10 out of a prepared TFDS folder; needs TensorFlow."""
    from keras_ft.data import tfds_source
    from keras_ft.data.load_settings import LoadSettings

    found = tfds_source.find("cifar10", data_dir, LoadSettings()).splits()
    splits = {
        name: (split.images(np.arange(len(split))), split.labels)
        for name, split in found.items()
    }
    Path(folder).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(teacher, Path(folder, TEACHER))
    about = {
        "dataset": "cifar10",
        "teacher": Path(teacher).name,
        "student": "resnet20",
        "normalization": dataclasses.asdict(IMAGENET),
    }
    _write(folder, splits, about, piece_bytes, [TEACHER])


def pack_toy(folder, piece_bytes):
    """Write a few of the embedded images; their teacher is in the package."""
    found = fashion_mini.read()
    sizes = {"train": 40, "test": 32}
    splits = {
        name: (found[f"{name}_images"][:n], found[f"{name}_labels"][:n])
        for name, n in sizes.items()
    }
    about = {
        "dataset": "fashion_mini",
        "teacher": None,
        "student": "resnet8",
        "normalization": dataclasses.asdict(FASHION_MNIST),
    }
    _write(folder, splits, about, piece_bytes, [])


def _write(folder, splits, about, piece_bytes, names):
    images = np.concatenate([splits[name][0] for name in SPLITS])
    labels = np.concatenate([splits[name][1] for name in SPLITS])
    each = max(1, piece_bytes // images[0].nbytes)
    pieces = [images[n : n + each] for n in range(0, len(images), each)]
    arrays = {f"images-{n:02}.npy": p for n, p in enumerate(pieces)}
    for name, array in {LABELS: labels.astype("uint8"), **arrays}.items():
        with artifacts.atomic_path(Path(folder, name)) as path:
            np.save(path, array, allow_pickle=False)
    about["train_examples"] = len(splits["train"][1])
    artifacts.write_json(Path(folder, ABOUT), about)
    artifacts.record(folder, [*names, ABOUT, LABELS, *arrays])


def read(folder):
    """Return what was packed, every file of it verified.

    Raises:
        InputError: A file is missing or not as it was packed.
    """
    digests = artifacts.manifest(folder)
    if not digests:
        raise InputError(
            "data",
            folder,
            "a folder with a manifest.json and all that it names",
            "Make it with --pack=DIR.",
        )
    files = {name: artifacts.verify(folder, name) for name in digests}
    about = artifacts.read_json(files[ABOUT])
    images = np.concatenate(
        [np.load(files[n]) for n in sorted(files) if n.startswith("images-")]
    )
    labels = np.load(files[LABELS]).astype("int32")
    cut = about["train_examples"]
    if TEACHER in files:
        teacher = keras_ft.zoo.load_torch_resnet(files[TEACHER])
    else:
        teacher = keras_ft.zoo.pretrained(about["dataset"])
    fields = {k: tuple(v) for k, v in about.pop("normalization").items()}
    return Packed(
        (images[:cut], labels[:cut]),
        (images[cut:], labels[cut:]),
        teacher,
        Normalization(**fields),
        about,
        digests,
    )
