"""Networks to distill from and into, for images of 28 pixels up.

Those of `build` are flat Functional graphs of stock Keras layers that return
logits, with layers named `stem`, `stage1`, ... and `head`; the last stage is
the last spatial feature map. `backbone` has those of `keras.applications`.
"""

import importlib
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from keras_ft.zoo.applications import backbone as backbone
    from keras_ft.zoo.mobilenet import mobilenet_v2_small as mobilenet_v2_small
    from keras_ft.zoo.registry import build as build
    from keras_ft.zoo.registry import names as names
    from keras_ft.zoo.registry import pretrained as pretrained
    from keras_ft.zoo.registry import provenance as provenance
    from keras_ft.zoo.resnet import cifar_resnet as cifar_resnet
    from keras_ft.zoo.resnet import resnet8 as resnet8
    from keras_ft.zoo.resnet import resnet14 as resnet14
    from keras_ft.zoo.resnet import resnet20 as resnet20
    from keras_ft.zoo.resnet import resnet32 as resnet32
    from keras_ft.zoo.resnet import resnet44 as resnet44
    from keras_ft.zoo.resnet import resnet56 as resnet56
    from keras_ft.zoo.resnet import resnet110 as resnet110
    from keras_ft.zoo.resnet import wide_resnet as wide_resnet
    from keras_ft.zoo.torch_resnet import load_torch_resnet as load_torch_resnet
    from keras_ft.zoo.vgg import vgg8 as vgg8
    from keras_ft.zoo.vgg import vgg13 as vgg13

# Imported when first asked for: the command line knows the names of networks
# without waiting for Keras.
_HOMES = {
    "backbone": "applications",
    "build": "registry",
    "cifar_resnet": "resnet",
    "load_torch_resnet": "torch_resnet",
    "mobilenet_v2_small": "mobilenet",
    "names": "registry",
    "pretrained": "registry",
    "provenance": "registry",
    "resnet110": "resnet",
    "resnet14": "resnet",
    "resnet20": "resnet",
    "resnet32": "resnet",
    "resnet44": "resnet",
    "resnet56": "resnet",
    "resnet8": "resnet",
    "vgg13": "vgg",
    "vgg8": "vgg",
    "wide_resnet": "resnet",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
