"""Real images as `tf.data`: decoded once, augmented by whole batches.

The embedded ones also as NumPy arrays, for backends without TensorFlow.
"""

from keras_ft.data.arrays import ImageArrays as ImageArrays
from keras_ft.data.arrays import arrays as arrays
from keras_ft.data.image_data import ImageData as ImageData
from keras_ft.data.load import load as load
from keras_ft.data.normalization import Normalization as Normalization
