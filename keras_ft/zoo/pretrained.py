"""The trained networks that come with the package."""

import difflib
import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import keras

from keras_ft import artefacts
from keras_ft.errors import InputError

_REINSTALL = "Install the package again."


def pretrained(name: str) -> keras.Model:
    """Loads a trained network shipped with the package.

    Args:
        name: `"fashion_mini"`, the teacher for the embedded data set.

    Returns:
        A Keras model, not compiled, that returns logits.

    Raises:
        InputError: If no network of this name is installed, or its file is
            not the one that was published.

    Example:

    >>> from keras_ft import zoo
    >>> teacher = zoo.pretrained("fashion_mini")
    """
    published = provenance(name)
    file = _weights() / f"{name}.keras"
    if not file.is_file():
        raise InputError(
            "name",
            repr(name),
            f"the file {file}, which is missing",
            _REINSTALL,
        )
    with importlib.resources.as_file(file) as path:
        _check(path, published)
        return keras.models.load_model(path, compile=False)


def provenance(name: str) -> dict[str, Any]:
    """Says where a shipped network comes from.

    Args:
        name: As for `pretrained`.

    Returns:
        The record written when the network was trained: what it saw, how it
        was trained, its test accuracy, `sha256` of its file.

    Raises:
        InputError: If no network of this name is installed, or its record is
            unreadable.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.provenance("fashion_mini")["network"]
    'zoo.resnet20(classes=10, input_shape=(28, 28, 1))'
    """
    file = _weights() / f"{name}.json"
    installed = _installed()
    if name not in installed:
        close = difflib.get_close_matches(name, installed, n=1)
        raise InputError(
            "name",
            repr(name),
            f"one of {', '.join(installed)}"
            if installed
            else "a network in this installation, which has none",
            f"Did you mean {close[0]!r}?" if close else _REINSTALL,
        )
    with importlib.resources.as_file(file) as path:
        record = artefacts.read_json(path)
    if not isinstance(record, dict) or "sha256" not in record:
        raise InputError(
            "name", repr(name), f'a "sha256" in {file}', _REINSTALL
        )
    return record


def _weights() -> Traversable:
    return importlib.resources.files("keras_ft.zoo") / "weights"


def _installed() -> list[str]:
    folder = _weights()
    if not folder.is_dir():
        return []
    return sorted(
        file.name.removesuffix(".json")
        for file in folder.iterdir()
        if file.name.endswith(".json")
    )


def _check(path: Path, published: dict[str, Any]) -> None:
    found = artefacts.sha256(path)
    if found != published["sha256"]:
        raise InputError(
            "name",
            f"{path} with sha256 {found}",
            f"sha256 {published['sha256']}: the file is damaged",
            _REINSTALL,
        )
