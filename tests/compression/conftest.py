import keras
import numpy as np
import pytest

import keras_ft


@pytest.fixture
def train(batch):
    """Three batches of eight small images of four classes."""
    tf = pytest.importorskip("tensorflow")
    images, labels = batch
    # Something to learn: each class has a brightness of its own.
    images = images + labels[:, None, None, None]
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)


@pytest.fixture
def make_model(network):
    """Builds a FactorTransfer of two small networks, always the same."""

    def make(beta=50.0, dropout=0.0):
        keras.utils.set_random_seed(0)
        teacher = network(12, name="teacher")
        paraphraser = keras_ft.Paraphraser(rate=0.5)
        paraphraser.trained = True
        student = network(8, dropout=dropout, name="student")
        model = keras_ft.FactorTransfer(
            teacher, student, paraphraser, beta=beta
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        return model

    return make


@pytest.fixture
def model(make_model):
    return make_model()


@pytest.fixture
def kernels_of():
    """Kernels of a result by layer name, fake-quantized or not."""
    from keras_ft.compression.kept_kernels import variable_of

    def kernels(result):
        return {
            name: variable_of(result, name).numpy() for name in ("conv", "head")
        }

    return kernels


@pytest.fixture
def zeros_of(kernels_of):
    def zeros(result):
        return {
            name: np.flatnonzero(kernel == 0).tolist()
            for name, kernel in kernels_of(result).items()
        }

    return zeros
