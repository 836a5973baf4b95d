"""Show a few test images, the networks' answers and their factors."""

import base64
import io
from typing import Any

import keras
import matplotlib
import numpy as np
from PIL import Image

from keras_ft import artifacts
from keras_ft import heads
from keras_ft.experiments import RunFolder
from keras_ft.experiments import run_taps
from keras_ft.experiments.networks import load_recorded
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap

COUNT = 8
# The networks that are shown, and what makes their factors.
FACTORS = {"teacher": "paraphraser.keras", "student": "translator.keras"}


def sample_images(run: RunFolder, data: Any) -> list[dict[str, Any]]:
    """Return a card for each of a few test images, chosen by the run's seed.

    Args:
        run: A run folder, entered.
        data: What `data.load` returned.

    Returns:
        For each image `label`, `pictures` (caption and PNG) and `answers`
        (network, class, whether it is right, share of confidence).
    """
    count = min(COUNT, data.sizes["test"])
    images, labels = data.examples("test", count, run.configuration["seed"])
    inputs = data.normalization.apply(images)
    pictures = [[("image", _image(image))] for image in images]
    answers: list[list[dict[str, Any]]] = [[] for _ in images]
    files = artifacts.manifest(run.path)
    for name, factor_file in FACTORS.items():
        if f"{name}.keras" not in files:
            continue
        network = load_recorded(run.path, f"{name}.keras")
        factors, outputs = None, network(inputs, training=False)
        if set(FACTORS.values()) <= files.keys():
            layer_name = run_taps.layer(run, name, network)
            tap = find_tap(network, layer_name, f"{name}_layer")
            features = feature_extractor(network, [tap])(
                inputs, training=False
            )[0]
            layer = load_recorded(run.path, factor_file)
            factors = np.asarray(layer(features, training=False))
        if heads.output_activation(network) is None:
            outputs = keras.ops.softmax(outputs)
        for i, share in enumerate(np.asarray(outputs)):
            answers[i].append(_answer(name, share, labels[i], data))
            if factors is not None:
                caption = f"{name} factor"
                pictures[i].append((caption, _heat_map(factors[i])))
    return [
        {
            "label": data.class_names[label],
            "pictures": pictures[i],
            "answers": answers[i],
        }
        for i, label in enumerate(labels)
    ]


def _answer(
    name: str, share: np.ndarray, label: int, data: Any
) -> dict[str, Any]:
    best = int(np.argmax(share))
    return {
        "network": name,
        "class": data.class_names[best],
        "right": best == int(label),
        "share": float(share[best]),
    }


def _heat_map(factor: np.ndarray) -> str:
    """Draw the mean square over the channels of (H, W, m), dark to bright."""
    strength = np.square(factor).mean(axis=-1)
    spread = strength.max() - strength.min()
    scaled = (strength - strength.min()) / (spread or 1.0)
    colors = matplotlib.colormaps["magma"](scaled)[..., :3]
    return _image((255 * colors).astype(np.uint8))


def _image(pixels: np.ndarray) -> str:
    squeezed = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    content = io.BytesIO()
    Image.fromarray(squeezed).save(content, "PNG")
    text = base64.b64encode(content.getvalue()).decode()
    return f"data:image/png;base64,{text}"
