"""Networks to distill from and into, for images of 28 pixels up.

Every one is a flat Functional graph of stock Keras layers that returns logits,
with layers named `stem`, `stage1`, ... and `head`; the last stage is the last
spatial feature map.
"""

from keras_ft.zoo.mobilenet import mobilenet_v2_small
from keras_ft.zoo.registry import build
from keras_ft.zoo.registry import names
from keras_ft.zoo.registry import pretrained
from keras_ft.zoo.registry import provenance
from keras_ft.zoo.resnet import cifar_resnet
from keras_ft.zoo.resnet import resnet8
from keras_ft.zoo.resnet import resnet14
from keras_ft.zoo.resnet import resnet20
from keras_ft.zoo.resnet import resnet32
from keras_ft.zoo.resnet import resnet44
from keras_ft.zoo.resnet import resnet56
from keras_ft.zoo.resnet import resnet110
from keras_ft.zoo.resnet import wide_resnet
from keras_ft.zoo.torch_resnet import load_torch_resnet
from keras_ft.zoo.vgg import vgg8
from keras_ft.zoo.vgg import vgg13

__all__ = [
    "build",
    "cifar_resnet",
    "load_torch_resnet",
    "mobilenet_v2_small",
    "names",
    "pretrained",
    "provenance",
    "resnet8",
    "resnet14",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "vgg8",
    "vgg13",
    "wide_resnet",
]
