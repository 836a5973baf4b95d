"""A run keeps the taps that it was begun with."""

import keras
import pytest

from keras_ft.experiments import run_taps
from keras_ft.features.taps import find_tap
from keras_ft.features.taps import former_default


@pytest.fixture
def network():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = keras.layers.Dropout(0.1, name="dropout")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(2)(x))


@pytest.mark.parametrize(
    ("asked", "noted", "begun", "expected"),
    [
        ("conv", {"student": "dropout"}, True, "conv"),
        (None, {"student": "conv"}, True, "conv"),
        (None, {"student": "dropout"}, False, "dropout"),
        # Of a version that noted none, and took even a dropout.
        (None, None, True, "dropout"),
        (None, None, False, None),
    ],
)
def test_what_was_asked_for_then_noted_then_the_former(
    network, asked, noted, begun, expected
):
    notes = {} if noted is None else {run_taps.NOTE: noted}
    found = run_taps.choose(asked, notes, begun, "student", network)
    assert found == expected
    assert former_default(network) == "dropout"
    assert find_tap(network, None, "").name == "conv"


def test_they_are_noted_once(network):
    class Run:
        content = {"notes": {}}

        def note(self, name, content):
            self.content["notes"][name] = content

    run = Run()
    conv, dropout = (find_tap(network, n, "") for n in ("conv", "dropout"))
    run_taps.note(run, {"attention_1": (dropout, dropout)})
    assert run.content["notes"] == {}
    for pair in ((conv, dropout), (dropout, conv)):
        run_taps.note(run, {"factor": pair})
        noted = {"teacher": "conv", "student": "dropout"}
        assert run.content["notes"] == {"taps": noted}
