"""Run with the installed wheel, outside the checkout: is everything in it?"""

import sys
from pathlib import Path

import numpy as np

import keras_ft
from keras_ft.export.android_bundle.texts import render

checkout = Path(sys.argv[1]).resolve()
installed = Path(keras_ft.__file__).resolve()
assert not installed.is_relative_to(checkout), f"not the wheel: {installed}"

data = keras_ft.data.load(batch_size=32)
images, labels = data.examples("test", 64)
teacher = keras_ft.zoo.pretrained("fashion_mini")
mean = np.array(data.normalization.mean)
std = np.array(data.normalization.std)
student = keras_ft.zoo.resnet8(
    classes=data.classes, input_shape=data.input_shape
)
for network in (teacher, student):
    logits = network.predict((images / 255.0 - mean) / std, verbose=0)
    assert logits.shape == (64, data.classes), logits.shape
    print(network.name, "top-1", np.mean(np.argmax(logits, -1) == labels))

# The texts of a hand-over folder are package data.
assert render("labels.txt", {"classes": ["shoe"]}) == "shoe\n"
