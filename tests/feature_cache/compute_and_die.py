"""Builds or reads a cache; kills itself while batch N is computed."""

import os
import signal
import sys

import keras

import keras_ft
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache import store
from keras_ft.feature_cache.teacher_pass import live_teacher
from keras_ft.features.taps import find_tap

MEASURED = 4


def main(how: str, path: str, folder: str, batches: int) -> None:
    store.BLOCK_BYTES = 1
    teacher = keras.models.load_model(path)
    data = keras_ft.data.load("fashion_mini", train_examples=96, batch_size=32)
    live = live_teacher(teacher, [find_tap(teacher, None, "")], False)
    left = MEASURED + batches

    def dying(images):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return live(images)

    if how == "build":
        FeatureCache.build(folder, teacher, data, views=2, forward=dying)
    else:
        cache = FeatureCache.lazy(folder, teacher, data, forward=dying)
        for _ in cache.train_from(0):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
