"""Where a run's networks come from and how they are kept."""

import warnings
from pathlib import Path
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft import data
from keras_ft import zoo
from keras_ft.data.normalization import IMAGENET
from keras_ft.errors import InputError
from keras_ft.experiments.run_folder import RUN_FILE

KERAS = ".keras"
ARRAYS = ".npz"
# What Keras 2 wrote; Keras 3 still reads them.
OLD = (".h5", ".hdf5")
_SAVED_MODEL = "saved_model.pb"


def load(path: artifacts.PathLike) -> keras.Model:
    """Load a `.keras` file, or an old `.h5`, without its optimizer.

    Raises:
        InputError: The file is missing, damaged, or needs unsafe code, as a
            `Lambda` layer does; or it is a SavedModel, which Keras 3 does not
            read as a network.
    """
    path = Path(path)
    if (path / _SAVED_MODEL).is_file():
        raise InputError(
            f"{path} is a SavedModel of Keras 2, which Keras 3 does not read "
            "as a network. Convert it once, after pip install tf_keras, with "
            f"tf_keras.models.load_model({str(path)!r}).save('teacher.h5'), "
            "and use teacher.h5."
        )
    if not path.is_file():
        raise InputError(
            "path", path, f"an existing {KERAS} file", "Check the spelling."
        )
    try:
        with warnings.catch_warnings():
            if path.suffix in OLD:  # Keras 3 has renamed some arguments.
                warnings.simplefilter("ignore")
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a bad file.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            str(path),
            reason,
            f"a {KERAS} file written by Keras 3",
            _remedy(path, reason),
        ) from error


def _remedy(path: Path, reason: str) -> str:
    if "Lambda" in reason:
        return (
            "A Lambda layer is code, which is not run from a file: build the "
            "network with a stock layer in its place, such as Rescaling, copy "
            "the weights and save it as .keras."
        )
    if path.suffix in OLD and "config" in reason:
        return (
            "It holds weights alone: build the network, call "
            f"model.load_weights({path.name!r}) and save it as .keras."
        )
    return "Save the model again with model.save(...)."


def load_recorded(folder: artifacts.PathLike, name: str) -> keras.Model:
    """Load a `.keras` file of a run folder after checking its digest.

    Raises:
        InputError: The file is missing, damaged or was never finished.
    """
    return load(artifacts.verify(folder, name))


def save(model: keras.Model, path: artifacts.PathLike) -> None:
    """Save a network alone, whole or not at all.

    A compiled model is copied first: its optimizer is no part of the network
    and would double the file.
    """
    if model.compiled:
        # clone_model would compile the copy, too.
        plain = type(model).from_config(model.get_config())
        plain.set_weights(model.get_weights())
        model = plain
    with artifacts.atomic_path(path) as temporary:
        model.save(temporary)


def build(source: str, loaded: Any) -> keras.Model:
    """Build a zoo network for the dataset, or load a `.keras` file.

    Args:
        source: Zoo name or path.
        loaded: What `data.load` returned.
    """
    if source.endswith(KERAS):
        model = load(source)
        check_fit(model, loaded, "student")
        return model
    return zoo.build(
        source, classes=loaded.classes, input_shape=loaded.input_shape
    )


def teacher(source: str) -> keras.Model:
    """Load a finished teacher.

    Args:
        source: A `.keras` file or an old `.h5`, a run folder, a PyTorch
            ResNet's arrays (`.npz`, see `zoo.load_torch_resnet`) or a shipped
            name.
    """
    path = Path(source)
    if (path / RUN_FILE).is_file():
        return load_recorded(path, "teacher.keras")
    is_saved_model = (path / _SAVED_MODEL).is_file()
    if path.suffix in (KERAS, *OLD) or is_saved_model:
        return load(path)
    if path.suffix == ARRAYS:
        return zoo.load_torch_resnet(path)
    return zoo.pretrained(source)


def teacher_normalization(source: str | None) -> Any:
    """Return the normalization a teacher was trained with, or None.

    A run folder has noted it. Arrays of PyTorch networks do not tell; public
    ones for CIFAR (akamaster/pytorch_resnet_cifar10) were trained on
    ImageNet's.
    """
    if source is not None and Path(source).suffix == ARRAYS:
        return IMAGENET
    if source is None or not (Path(source) / RUN_FILE).is_file():
        return None
    content = artifacts.read_json(Path(source) / RUN_FILE, sealed=True)
    kept = content["notes"]["dataset"]["normalization"]
    return data.Normalization(tuple(kept["mean"]), tuple(kept["std"]))


def check_fit(model: keras.Model, loaded: Any, argument: str) -> None:
    """Refuse a network that does not fit the dataset.

    Raises:
        InputError: Image shape or number of classes differ.
    """
    wanted = (*loaded.input_shape, loaded.classes)
    received = (*model.input_shape[1:], model.output_shape[-1])
    fits = len(wanted) == len(received) and all(
        mine is None or mine == theirs
        for mine, theirs in zip(received, wanted, strict=True)
    )
    if not fits:
        raise InputError(
            argument,
            f"images {model.input_shape[1:]}, {model.output_shape[-1]} classes",
            f"images {loaded.input_shape}, {loaded.classes} classes, "
            f"as in {loaded.name}",
            "Use another dataset, or a network made for this one.",
        )
