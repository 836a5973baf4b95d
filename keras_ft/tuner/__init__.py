"""Which rate, which beta: searches with any tuner of keras-tuner."""

from keras_ft.tuner.hypermodel import (
    FactorTransferHyperModel as FactorTransferHyperModel,
)
from keras_ft.tuner.log_range import LogRange as LogRange
from keras_ft.tuner.search_error import SearchError as SearchError
from keras_ft.tuner.search_run import tune as tune
from keras_ft.tuner.search_settings import SearchSettings as SearchSettings
