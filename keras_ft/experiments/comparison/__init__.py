"""The paper's table on your data: every method, several seeds, one verdict."""

from keras_ft.experiments.comparison.comparing import compare as compare
from keras_ft.experiments.comparison.comparison import Comparison as Comparison
from keras_ft.experiments.comparison.difference import Difference as Difference
from keras_ft.experiments.comparison.method import METHODS as METHODS
from keras_ft.experiments.comparison.method_settings import (
    MethodSettings as MethodSettings,
)
