"""The embedded default: a stratified subset of Fashion-MNIST (MIT)."""

from keras_ft.data.fashion_mini.arrays import CLASS_NAMES as CLASS_NAMES
from keras_ft.data.fashion_mini.arrays import read as read
