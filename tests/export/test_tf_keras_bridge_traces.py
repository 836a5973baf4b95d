"""What bridging must leave as it was."""

import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.export import to_tf_keras

pytest.importorskip("tf_keras", reason="tf_keras is not installed")


def test_the_users_model_is_not_changed(student):
    before = student.get_weights()
    to_tf_keras(student)(np.zeros((2, 16, 16, 3)), training=True)
    for weight, old in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_random_states_and_global_settings_are_left_alone():
    student = zoo.build("mobilenet_v2_small")
    state, environment = random.getstate(), dict(os.environ)
    numbers = np.random.get_state()[1].copy()
    to_tf_keras(student)
    assert random.getstate() == state
    assert (np.random.get_state()[1] == numbers).all()
    assert dict(os.environ) == environment
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_importing_and_bridging_leave_keras_3_in_place():
    code = """
import os, sys
import keras, keras_ft, tensorflow as tf
assert "tf_keras" not in sys.modules
before = dict(os.environ)
x = keras.Input((3,))
keras_ft.export.to_tf_keras(keras.Model(x, keras.layers.Dense(2)(x)))
assert "tf_keras" in sys.modules and dict(os.environ) == before
assert tf.keras.__version__.startswith("3.")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
