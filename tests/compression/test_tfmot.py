import importlib.util
import os
import subprocess
import sys

import pytest

# Importing it here would do to this process what the test is about.
if importlib.util.find_spec("tensorflow_model_optimization") is None:
    pytest.skip("no tensorflow_model_optimization", allow_module_level=True)

_SCRIPT = """
import os, sys
import numpy as np
import keras
import tensorflow as tf
import keras_ft.compression

places = (tf, tf.compat.v1, tf.compat.v2)
looked = sys.argv[1] == "looked"
if looked:
    tf.keras.__version__
found = [getattr(place, "keras") for place in places]
environment = dict(os.environ)
assert "tensorflow_model_optimization" not in sys.modules
assert "tf_keras" not in sys.modules

student = keras.Sequential([
    keras.Input((8, 8, 3)),
    keras.layers.Conv2D(4, 3),
    keras.layers.GlobalAveragePooling2D(),
    keras.layers.Dense(3),
])
images = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
data = tf.data.Dataset.from_tensor_slices((images, np.arange(8) % 3)).batch(4)
result = keras_ft.compression.compress(student, "pqat", data, verbose=0)

assert "tensorflow_model_optimization" in sys.modules
assert type(result).__module__.startswith("tf_keras")
assert dict(os.environ) == environment
for place, as_found in zip(places, found):
    assert getattr(place, "keras") is as_found
assert tf.keras.__version__.startswith("3."), tf.keras.__version__
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    "looked",
    ["looked", pytest.param("not looked", marks=pytest.mark.long)],
)
def test_tf_keras_and_the_environment_are_as_before(looked):
    environment = dict(os.environ)
    environment.pop("TF_USE_LEGACY_KERAS", None)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            _SCRIPT,
            looked,
        ],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
