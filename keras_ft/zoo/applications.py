"""Networks of `keras.applications` as classifiers of raw pixels."""

import contextlib
import socket
import warnings
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.zoo import network_names

POOL, HEAD = "pool", "head"
# Of a connection, and of each read from it.
SECONDS = 10.0
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # Blue first.


def backbone(
    name: str,
    classes: int,
    input_shape: Sequence[int],
    weights: str | None = "imagenet",
) -> keras.Model:
    """Build a network of `keras.applications` with a new head.

    Args:
        name: Of its constructor, in any case; the width of a MobileNet may
            follow, as in "MobileNetV2_0.35".
        classes: Number of classes, at least 2.
        input_shape: `(height, width, channels)`, 1 or 3 channels; most
            networks want 32 pixels and more.
        weights: `"imagenet"`, which Keras downloads into its cache unless
            they are there, or `None` for fresh ones.

    Returns:
        A flat Functional model that takes pixels 0..255 and returns logits.
        Its last layers are called `pool` and `head`.

    Raises:
        InputError: There is no such network, it refuses the arguments, or
            its weights cannot be downloaded.

    Example:

    >>> from keras_ft import zoo
    >>> network = zoo.backbone("MobileNetV2_0.35", 4, (32, 32, 3), weights=None)
    >>> network.output_shape
    (None, 4)
    """
    found = network_names.backbone(name)
    if found is None:
        raise InputError(
            "name",
            repr(name),
            f"one of {', '.join(network_names.PREPROCESSING)}",
            "keras.applications has these.",
        )
    if weights not in ("imagenet", None):
        raise InputError(
            "weights", repr(weights), "'imagenet' or None", "Use None."
        )
    image = keras.Input(tuple(input_shape))
    x: Any = image
    if image.shape[-1] == 1:
        x = keras.layers.Concatenate(name="as_color")([x, x, x])
    x = _preprocessed(x, network_names.PREPROCESSING[found.name])
    arguments = {} if found.alpha is None else {"alpha": found.alpha}
    with _explained(found.name, weights, tuple(input_shape)):
        features = getattr(keras.applications, found.name)(
            include_top=False,
            weights=weights,
            input_tensor=x,
            input_shape=tuple(x.shape[1:]),
            **arguments,
        ).output
    x = keras.layers.GlobalAveragePooling2D(name=POOL)(features)
    x = keras.layers.Dense(classes, name=HEAD)(x)
    return keras.Model(image, x, name=name.lower().replace(".", "_"))


def _preprocessed(x: Any, kind: str) -> Any:
    """Return what Keras' `preprocess_input` makes of pixels, in the graph."""
    scale: Any = 1.0
    offset: Any
    if kind == "inside":
        return x
    if kind == "tf":
        scale, offset = 1 / 127.5, -1.0
    elif kind == "torch":
        scale = [1 / (255 * std) for std in _IMAGENET_STD]
        both = zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True)
        offset = [-mean / std for mean, std in both]
    else:
        x = keras.ops.flip(x, axis=-1)
        offset = [-mean for mean in _CAFFE_MEAN]
    return keras.layers.Rescaling(scale, offset, name="rescale")(x)


@contextlib.contextmanager
def _explained(
    name: str, weights: str | None, shape: tuple[int, ...]
) -> Iterator[None]:
    """Bound the time of a download, and say in a sentence what failed."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        with warnings.catch_warnings():
            # That weights for 224 pixels are taken for other sizes: for a
            # convolutional network they are right.
            warnings.filterwarnings("ignore", "`input_shape` is undefined")
            yield
    except Exception as error:  # `get_file` raises a bare `Exception`.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if weights is not None and not isinstance(error, ValueError):
            raise InputError(
                f"The weights of {name} cannot be downloaded ({reason}). "
                "Connect to the network, copy the file into Keras' cache "
                "(~/.keras/models), or start from fresh weights with "
                "weights=None (--weights=none)."
            ) from error
        raise InputError(
            f"keras.applications.{name} cannot be built for images "
            f"{shape}: {reason}"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
