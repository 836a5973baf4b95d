"""Errors cross the border between processes whole."""

import pickle
from pathlib import Path

import pytest

from keras_ft.export import BridgeError
from keras_ft.export import ExportError
from keras_ft.export import ModelFileError
from keras_ft.export import ParityError
from keras_ft.export import QuantizationNotAppliedError
from keras_ft.export import RepresentativeDataError
from keras_ft.export import UnsupportedOpsError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (BridgeError("act", "why", "Do it."), "'act' cannot be rebuilt in"),
        (
            ModelFileError(Path("a.tflite"), "crashed", "it said"),
            "a.tflite: it",
        ),
        (ParityError("agreement", 0.65, 0.95, 17, "a, b", "Do c."), "0.65"),
        (QuantizationNotAppliedError("int8", "INT8"), "'int8' was not applied"),
        (RepresentativeDataError("samples", 3, "32", "Do it."), "`samples`"),
        (UnsupportedOpsError(("BesselI0", "Inverse")), "BesselI0, Inverse"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_a_sentence_and_pickles(error, told):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and isinstance(copy, ExportError)
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)
    assert told in str(copy) and str(copy).endswith(".")
