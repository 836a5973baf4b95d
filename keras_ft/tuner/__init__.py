"""Which rate, which beta: searches with any tuner of keras-tuner."""

from keras_ft.tuner.checks import SearchError as SearchError
from keras_ft.tuner.hypermodel import (
    FactorTransferHyperModel as FactorTransferHyperModel,
)
from keras_ft.tuner.search import tune as tune
from keras_ft.tuner.settings import SearchSettings as SearchSettings
from keras_ft.tuner.space import LogRange as LogRange
