"""The paper's table on your data: every method, several seeds, one verdict."""

from keras_ft.comparison.comparing import compare as compare
from keras_ft.comparison.comparison import Comparison as Comparison
from keras_ft.comparison.difference import Difference as Difference
from keras_ft.comparison.method import METHODS as METHODS
from keras_ft.comparison.method_settings import MethodSettings as MethodSettings
