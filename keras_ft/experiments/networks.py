"""Where a run's networks come from and how they are kept."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft import archives
from keras_ft import artifacts
from keras_ft import data
from keras_ft import zoo
from keras_ft.data.normalization import IMAGENET
from keras_ft.errors import InputError
from keras_ft.experiments.run_folder import RUN_FILE
from keras_ft.experiments.run_folder import read_content
from keras_ft.features import graph
from keras_ft.validation.models import input_shape
from keras_ft.zoo import network_names
from keras_ft.zoo.network_names import ARRAYS
from keras_ft.zoo.network_names import KERAS
from keras_ft.zoo.network_names import OLD
from keras_ft.zoo.network_names import SAVED_MODEL


def load(path: artifacts.PathLike) -> keras.Model:
    """Load a `.keras` file, or an old `.h5`, without its optimizer.

    Raises:
        InputError: The file is missing, damaged, too large, or needs unsafe
            code, as a `Lambda` layer does; or it is a SavedModel, which
            Keras 3 does not read as a network.
    """
    path = Path(path)
    if (path / SAVED_MODEL).is_file():
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
    return archives.load_network(path)


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


def build(
    source: str, loaded: Any, weights: str | None = "imagenet"
) -> keras.Model:
    """Build a network for the dataset, or load a `.keras` file.

    Args:
        source: A name of the zoo or of `keras.applications`, or a path.
        loaded: What `data.load` returned.
        weights: Of a network of `keras.applications`, see `zoo.backbone`.
    """
    if network_names.backbone(source) is not None:
        return zoo.backbone(source, loaded.classes, loaded.input_shape, weights)
    if source.endswith(KERAS):
        return fitted(load(source), loaded, "student")
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
    is_saved_model = (path / SAVED_MODEL).is_file()
    if path.suffix in (KERAS, *OLD) or is_saved_model:
        return load(path)
    if path.suffix == ARRAYS:
        return zoo.load_torch_resnet(path)
    return zoo.pretrained(source)


def recorded_normalization(source: str | None) -> Any:
    """Return the normalization a network was trained with, or None.

    A run folder has noted it, and so has the record of a shipped teacher.
    Arrays of PyTorch networks do not tell; public ones for CIFAR
    (akamaster/pytorch_resnet_cifar10) were trained on ImageNet's.
    """
    if source is None:
        return None
    path = Path(source)
    if path.suffix == ARRAYS:
        return IMAGENET
    folder = path.parent if path.suffix == KERAS else path
    if (folder / RUN_FILE).is_file():
        if folder != path and path.name not in artifacts.manifest(folder):
            return None  # Of somebody else.
        notes = read_content(folder)["notes"]
        if "dataset" not in notes:
            return None
        kept = notes["dataset"]["normalization"]
    elif source in network_names.shipped():
        kept = zoo.provenance(source)["normalization"]
    else:
        return None
    return data.Normalization.from_dict(kept)


def fixed_size(model: keras.Model) -> tuple[int, int] | None:
    """Return the only (height, width) a network takes, `None` if any."""
    shape = input_shape(model)
    if shape is None or len(shape) != 4:
        return None
    _, height, width, _ = shape
    return None if height is None or width is None else (height, width)


def fitted(model: keras.Model, loaded: Any, argument: str) -> keras.Model:
    """Return a network for the dataset's images.

    One for smaller images gets a layer in front that resizes them.

    Raises:
        InputError: It is for larger images, other channels or another number
            of classes.
    """
    shape, size = loaded.input_shape, fixed_size(model)
    if size is not None and size != shape[:2]:
        height, width = size
        smaller = height <= shape[0] and width <= shape[1]
        if smaller and model.input_shape[-1] == shape[-1]:
            resizing = keras.layers.Resizing(height, width, name="resize")
            model = preceded(model, resizing, shape)
    check_fit(model, loaded, argument)
    return model


def converted(
    model: keras.Model, given: Any, taken: Any, shape: tuple[int, int, int]
) -> keras.Model:
    """Return a network that takes pixels as another one does.

    Args:
        model: Takes pixels normalized as `taken`.
        given: The normalization of the images it is to be given.
        taken: The normalization of those that it was trained on.
        shape: (height, width, channels) of an image.

    Returns:
        The network with a `Rescaling` layer in front; itself where both are
        the same.
    """
    if given == taken:
        return model
    mine, theirs = ((np.array(n.mean), np.array(n.std)) for n in (taken, given))
    # Both are (pixel / 255 - mean) / std.
    scale = theirs[1] / mine[1]
    offset = (theirs[0] - mine[0]) / mine[1]
    rescaling = keras.layers.Rescaling(
        scale.tolist(), offset.tolist(), name="pixels"
    )
    return preceded(model, rescaling, shape)


def preceded(
    model: keras.Model, layer: keras.layers.Layer, shape: tuple[int, int, int]
) -> keras.Model:
    """Return a model with a layer before all others, which keep their names.

    Args:
        model: A Functional or Sequential model with one input. The result
            shares its layers.
        layer: Makes what the model takes of its input.
        shape: (height, width, channels) of an input.
    """
    graph.check_has_graph(model)
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs[0], model.outputs, name=model.name)
    image = keras.Input(shape)
    prepared = layer(image)

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(
            lambda x: prepared if x is image else x, (args, kwargs)
        )
        return operation(*args, **kwargs)

    # Calls all on new symbols; nothing is copied.
    return keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(lambda _: image, model.input),
        clone_function=lambda one: one,
        call_function=call,
    )


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
