"""Batches that replicas do not share equally."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft import InputError

cell = functools.partial(pytest.mark.cell, where="MirroredStrategy")


class Batches(keras.utils.PyDataset):
    """Batches of the given sizes."""

    def __init__(self, images, sizes):
        super().__init__()
        self.images, self.sizes = images, sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        start = sum(self.sizes[:index])
        part = slice(start, start + self.sizes[index])
        # Copies: TensorFlow may write into what it is given.
        return tuple(array[part].copy() for array in self.images)


@pytest.fixture(scope="module")
def pairs(images):
    return images[:2]


@pytest.fixture(scope="module")
def model(build, strategy):
    """On two replicas; refusals leave it untouched."""
    return build(strategy.scope)


def stream(pairs, count, size, drop_remainder=False):
    part = tuple(array[:count] for array in pairs)
    slices = tf.data.Dataset.from_tensor_slices(part)
    return slices.batch(size, drop_remainder=drop_remainder)


def generator(pairs):
    yield from Batches(pairs, [8, 8])


UNEVEN = {
    "batch size": lambda p: {"x": p[0], "y": p[1], "batch_size": 7},
    "last batch": lambda p: {"x": p[0][:23], "y": p[1][:23], "batch_size": 8},
    "split off": lambda p: {
        "x": p[0][:23],
        "y": p[1][:23],
        "batch_size": 4,
        "validation_split": 0.15,
    },
    "one small batch": lambda p: {"x": p[0][:23], "y": p[1][:23]},
    "static batch": lambda p: {"x": stream(p, 21, 7, drop_remainder=True)},
    "unknown batch": lambda p: {"x": stream(p, 24, 8)},
    "first of a PyDataset": lambda p: {"x": Batches(p, [7, 8])},
    "last of a PyDataset": lambda p: {"x": Batches(p, [8, 8, 3])},
    "generator": lambda p: {"x": generator(p)},
}


@cell("uneven training batches", "refused")
@pytest.mark.parametrize("case", UNEVEN)
def test_training_batches(model, pairs, values, gap, case):
    before = values(model.trainable_variables)
    with pytest.raises(InputError, match="for 2 replicas") as caught:
        model.fit(**UNEVEN[case](pairs), verbose=0)
    assert caught.value.argument == "x"
    assert "drop_remainder=True" in caught.value.fix
    assert gap(before, values(model.trainable_variables)) == 0


def test_a_distributed_dataset_of_unknown_batches(model, pairs, strategy):
    shared = strategy.experimental_distribute_dataset(stream(pairs, 24, 8))
    with pytest.raises(InputError, match="whose size is not known"):
        model.fit(shared, verbose=0)


def test_one_replica_takes_any_batch(train, gap):
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    # 136 images: the last batch has three.
    uneven = {"batch_size": 7, "epochs": 1}
    expected, found = train(fit=uneven), train(one.scope, fit=uneven)
    assert found.model.optimizer.iterations == 20
    # One step of float32 at a weight near 1, which 1e-7 is less than.
    step = np.finfo("float32").eps
    assert gap(expected.weights, found.weights) <= step
    assert found.logs["loss"] == pytest.approx(expected.logs["loss"], rel=1e-5)


EXACT = {
    "array, last of 7": lambda p: {"x": p[0][:23], "y": p[1][:23]},
    "array, last of 1": lambda p: {"x": p[0][:17], "y": p[1][:17]},
    "stream, last of 7": lambda p: {"x": stream(p, 23, 8)},
    "stream, last of 1": lambda p: {"x": stream(p, 17, 8)},
    "PyDataset, last of 1": lambda p: {"x": Batches(p, [8, 8, 1])},
}
# Of the same kinds.
MORE = ("array, last of 1", "stream, last of 7")


@cell("uneven validation batches", "yes, after an even first")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.long] if case in MORE else [])
        for case in EXACT
    ],
)
def test_later_validation_batches_may_be_uneven(model, alone, pairs, case):
    # Each replica's mean is weighed by its images, and none counts for 0.
    data = EXACT[case](pairs)
    if "y" in data:
        data["batch_size"] = 8
    expected, found = (
        one.evaluate(**data, return_dict=True, verbose=0)
        for one in (alone, model)
    )
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.fixture(scope="module")
def alone(build):
    return build()


@pytest.mark.parametrize("count", [1, 7])
def test_a_first_validation_batch_must_be_even(model, pairs, count):
    part = tuple(array[:count] for array in pairs)
    fit = functools.partial(model.fit, *pairs, batch_size=8, verbose=0)
    with pytest.raises(InputError, match=f"`x`.*a batch of {count}, for 2"):
        model.evaluate(*part, verbose=0)
    with pytest.raises(InputError, match="`validation_data`.*a batch of"):
        fit(validation_data=part)
    with pytest.raises(InputError, match="`validation_data`.*a batch of"):
        fit(validation_data=Batches(pairs, [count, 8]))
    with pytest.raises(InputError, match="`validation_split`.*a batch of 3"):
        # 20 images to train on, 3 to validate with.
        model.fit(
            *(array[:23] for array in pairs),
            batch_size=4,
            validation_split=0.1,
            verbose=0,
        )
    assert model.optimizer.iterations == 0


def test_a_first_batch_of_a_stream_is_explained(model, pairs):
    with pytest.raises(InputError, match="shared as 4 and 3, for 2 replicas"):
        model.evaluate(stream(pairs, 21, 7), verbose=0)


def test_keras_trains_elsewhere_with_uneven_batches(network, images, strategy):
    """Why they are refused: a mean of means is not the mean."""

    def train(scope):
        keras.utils.set_random_seed(0)
        with scope():
            model = network(4, normalize=False)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(0.1), loss)
        model.fit(stream(images[:2], 19, 8), verbose=0)
        return [np.array(v) for v in model.trainable_variables]

    one = tf.distribute.OneDeviceStrategy("CPU:0")
    pairs = zip(train(one.scope), train(strategy.scope), strict=True)
    assert max(np.abs(a - b).max() for a, b in pairs) > 1e-4
