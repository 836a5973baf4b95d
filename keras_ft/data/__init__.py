"""Real images as `tf.data`: decoded once, augmented by whole batches."""

from keras_ft.data.dataset import ImageData as ImageData
from keras_ft.data.load import load as load
from keras_ft.data.normalization import Normalization as Normalization
