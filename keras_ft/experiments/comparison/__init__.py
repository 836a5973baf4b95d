"""The paper's table on your data: every method, several seeds, one verdict."""

from keras_ft.experiments.comparison.compare import compare as compare
from keras_ft.experiments.comparison.difference import Difference as Difference
from keras_ft.experiments.comparison.results import Comparison as Comparison
