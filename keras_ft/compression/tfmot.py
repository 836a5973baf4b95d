"""The one door to tensorflow-model-optimization.

Importing it sets `TF_USE_LEGACY_KERAS` in the environment and, as the first to
look, makes `tf.keras` mean Keras 2 for the whole process. Behind this door
everything is afterwards as it was.
"""

import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_VARIABLE = "TF_USE_LEGACY_KERAS"
# TensorFlow's attribute, resolved by whoever first looks at it.
_ATTRIBUTE = "keras"


def tfmot() -> Any:
    """Return `tensorflow_model_optimization`, which works on `tf_keras`.

    It is imported on the first call.
    """
    with _keras_2_shown():
        import tensorflow_model_optimization

    return tensorflow_model_optimization


def cluster_layer(layer: Any, clusters: int, keep_zeros: bool) -> Any:
    """Wrap a `tf_keras` layer in tfmot's clustering.

    Keeping zeros is not in the public interface of tfmot 0.8.

    Args:
        layer: A built layer with a kernel.
        clusters: Different values its kernel may have, at least 2.
        keep_zeros: Whether zero is one of the values, at least 3 then, and
            stays where it is.

    Returns:
        The wrapper.
    """
    with _keras_2_shown():
        from tensorflow_model_optimization.python.core.clustering.keras import (
            cluster_config,
        )
        from tensorflow_model_optimization.python.core.clustering.keras import (
            cluster_wrapper,
        )
    return cluster_wrapper.ClusterWeights(
        layer,
        number_of_clusters=clusters,
        cluster_centroids_init=(
            cluster_config.CentroidInitialization.KMEANS_PLUS_PLUS
        ),
        preserve_sparsity=keep_zeros,
    )


@contextmanager
def _keras_2_shown() -> Iterator[None]:
    """Show Keras 2 to what is imported inside, and then hide it again."""
    if "tensorflow_model_optimization" in sys.modules:
        yield
        return
    import tensorflow as tf

    legacy = importlib.import_module("tf_keras")
    legacy_v1 = importlib.import_module("tf_keras.api._v1.keras")
    places = (
        (tf, legacy),
        (tf.compat.v1, legacy_v1),
        (tf.compat.v2, legacy),
    )
    found = [getattr(place, _ATTRIBUTE) for place, _ in places]
    variable = os.environ.get(_VARIABLE)
    try:
        for place, module in places:
            setattr(place, _ATTRIBUTE, module)
        with warnings.catch_warnings():
            # tfmot asks distutils for TensorFlow's version.
            warnings.simplefilter("ignore")
            yield
    finally:
        for (place, _), as_found in zip(places, found, strict=True):
            setattr(place, _ATTRIBUTE, as_found)
        if variable is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = variable
