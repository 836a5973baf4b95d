"""The three small networks of Factor Transfer."""

from keras_ft.layers.paraphraser import Paraphraser as Paraphraser
from keras_ft.layers.translator import Translator as Translator
