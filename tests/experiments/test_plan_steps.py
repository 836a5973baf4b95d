import time

import keras
import numpy as np
import tensorflow as tf

from keras_ft.experiments.plan import StepTimer

OPENING = 0.5  # seconds


def test_opening_a_stream_is_no_step():
    def batches():
        time.sleep(OPENING)
        while True:
            yield np.zeros((4, 2), "float32"), np.zeros((4, 1), "float32")

    spec = tuple(tf.TensorSpec((4, n), tf.float32) for n in (2, 1))
    stream = tf.data.Dataset.from_generator(batches, output_signature=spec)
    stream = stream.take(4).apply(tf.data.experimental.assert_cardinality(4))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    timer = StepTimer()
    model.fit(
        stream,
        validation_data=stream,
        epochs=2,
        verbose=0,
        callbacks=[timer],
    )
    for seconds in (timer.step, timer.validation_step):
        assert 0 < seconds < OPENING / 4


def test_one_step_is_all_there_is():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    timer = StepTimer()
    model.fit(
        np.zeros((4, 2)),
        np.zeros((4, 1)),
        epochs=2,
        verbose=0,
        callbacks=[timer],
    )
    assert timer.step > 0 and timer.validation_step == 0
