"""NaN in the data is explained before anything is updated, in both phases."""

import keras
import numpy as np
import pytest

from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer

TENSORFLOW = keras.backend.backend() == "tensorflow"
# Only TensorFlow's steps can stop; elsewhere whole arrays are looked at.
SAYS = "refused" if TENSORFLOW else "refused in arrays"
only_tensorflow = pytest.mark.skipif(
    not TENSORFLOW, reason="a compiled step of this backend cannot stop"
)
ARGUMENTS = {"batch_size": 8, "shuffle": False, "verbose": 0}


@pytest.fixture(params=["phase 1", "phase 2"])
def model(request, network, build, compiled):
    """A model of either phase; how to compile it is up to the test."""
    if request.param == "phase 2":
        return compiled(build())
    model = ParaphraserTrainer(network(8), Paraphraser(0.5))
    model.compile(keras.optimizers.SGD(0.1))
    return model


@pytest.fixture(params=[np.nan, -np.inf])
def broken(request, batch):
    """The batch with one bad number, in the last of three batches."""
    images = batch[0].copy()
    images[17, 2, 3, 1] = request.param
    return images, batch[1]


class Batches(keras.utils.PyDataset):
    def __init__(self, images, labels):
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(8 * index, 8 * index + 8)
        return self.images[part], self.labels[part]


@pytest.mark.cell("NaN images", SAYS)
@pytest.mark.parametrize(
    "how", ["fit", "evaluate", "train_on_batch", "test_on_batch"]
)
def test_arrays_are_looked_at_before_the_first_step(
    model, broken, values, same, how
):
    before = values(model)
    arguments = {} if how.endswith("batch") else ARGUMENTS
    with pytest.raises(InputError, match="Invalid `x`.*NaN"):
        getattr(model, how)(*broken, **arguments)
    same(before, values(model))


def test_a_mapped_file_is_not_read_before_training(batch, build, tmp_path):
    # A whole data set may be behind it.
    images = np.memmap(
        tmp_path / "images", "float32", "w+", shape=batch[0].shape
    )
    images[:] = np.nan
    model = build()
    model.compile("sgd", keras.losses.MeanSquaredError())
    model.check(images, batch[1])


@pytest.mark.cell("NaN images", SAYS)
@only_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_streams_stop_before_the_update(
    model, broken, values, same, xla, jit_compile
):
    # XLA drops assertions; the stream carries them then.
    import tensorflow as tf

    loss = getattr(model, "loss", None)
    model.compile(keras.optimizers.SGD(0.1), loss, jit_compile=jit_compile)
    assert model.jit_compile == jit_compile
    images, labels = (part[16:] for part in broken)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
    before = values(model)
    with pytest.raises(InputError, match="Invalid `x`.*NaN"):
        model.fit(data, verbose=0)
    same(before, values(model))


@pytest.mark.cell("NaN images", SAYS)
@only_tensorflow
def test_batches_of_a_pydataset_stop_before_the_update(
    model, broken, values, same
):
    good = Batches(*(part[:16].repeat(2, axis=0) for part in broken))
    model.fit(good, **{**ARGUMENTS, "batch_size": None})
    bad = Batches(*(part[16:].repeat(3, axis=0) for part in broken))
    before = values(model)
    with pytest.raises(InputError, match="Invalid `x`.*NaN"):
        model.fit(bad, **{**ARGUMENTS, "batch_size": None})
    same(before, values(model))


@only_tensorflow
def test_a_reconstruction_that_overflows_changes_no_weight(
    network, batch, values, same
):
    model = ParaphraserTrainer(network(8), Paraphraser(0.5), loss="l2")
    model.compile(keras.optimizers.SGD(0.1))
    bias = model.trainable_variables[-1]
    bias.assign(np.full(bias.shape, 1e30))
    before = values(model)
    with pytest.raises(InputError, match="Invalid `loss`.*No weight"):
        model.fit(batch[0], **ARGUMENTS)
    same(before, values(model))
