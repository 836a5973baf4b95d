import keras
import numpy as np
import pytest

import keras_ft
from keras_ft.compression import compress


@pytest.fixture(scope="session")
def train():
    """Three batches of eight small images of four classes."""
    tf = pytest.importorskip("tensorflow")
    random = np.random.default_rng(0)
    images = random.normal(size=(24, 8, 8, 3)).astype("float32")
    labels = random.integers(0, 4, size=24).astype("int32")
    # Something to learn: each class has a brightness of its own.
    images = images + labels[:, None, None, None]
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def compressed(make_model, train):
    """A function: the model compressed from an earlier result of its own."""

    found = {}

    def compress_once(method, start=None):
        if (method, start) not in found:
            found[method, start] = compress(
                make_model(),
                method,
                train,
                start=start and compress_once(start),
                clusters=6,
                learning_rate=0.01,
                verbose=0,
            )
        return found[method, start]

    return compress_once


@pytest.fixture(scope="session")
def kernels_of():
    """Kernels of a result by layer name, fake-quantized or not."""
    from keras_ft.compression.quantization_aware import kernel_variable

    def kernels(result):
        return {
            name: kernel_variable(result, name).numpy()
            for name in ("conv", "head")
        }

    return kernels


@pytest.fixture(scope="session")
def zeros_of(kernels_of):
    def zeros(result):
        return {
            name: np.flatnonzero(kernel == 0).tolist()
            for name, kernel in kernels_of(result).items()
        }

    return zeros
