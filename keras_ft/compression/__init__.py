"""Students that learn to be smaller, on the way to the phone."""

from keras_ft.compression.compress import compress as compress
