"""The same examples, however they arrive, train to the same weights."""

import keras
import numpy as np
import pytest

ARGUMENTS = {"epochs": 2, "shuffle": False, "verbose": 0}


class Batches(keras.utils.PyDataset):
    def __init__(self, images, labels, **kwargs):
        super().__init__(**kwargs)
        self.images, self.labels = images, labels

    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(8 * index, 8 * index + 8)
        return self.images[part], self.labels[part]


@pytest.fixture
def trained(build, compiled, values):
    """Both logs and weights after two epochs on some data."""

    def train(*data, validation, **kwargs):
        model = compiled(build(), metrics=["accuracy"])
        history = model.fit(
            *data, validation_data=validation, **kwargs, **ARGUMENTS
        ).history
        weights = values(model.student) + values(model.translator)
        return history, weights

    return train


@pytest.fixture(scope="module")
def known():
    """Keep what was trained on arrays, by the batch that came first."""
    return {}


@pytest.fixture
def on_arrays(trained, batch, known):
    """Trains on NumPy arrays, once for all tests."""

    def train(first=0):
        if first not in known:
            order = [np.roll(part, -8 * first, axis=0) for part in batch]
            known[first] = trained(*order, batch_size=8, validation=batch)
        return known[first]

    return train


@pytest.fixture
def as_arrays(on_arrays, trained, same):
    """Asserts that some other data trains as NumPy arrays do."""

    def compare(data, first=0):
        expected = on_arrays(first)
        found = trained(data, validation=data)
        same(expected[1], found[1])
        assert expected[0].keys() == found[0].keys()
        for name, logged in expected[0].items():
            assert found[0][name] == pytest.approx(logged, rel=1e-6), name

    return compare


@pytest.mark.cell("NumPy arrays")
@pytest.mark.cell("PyDataset")
@pytest.mark.parametrize(
    "workers", [1, pytest.param(2, marks=pytest.mark.long)]
)
def test_pydatasets_train_as_arrays_do(as_arrays, batch, workers):
    first = 0
    if workers > 1 and keras.backend.backend() != "tensorflow":
        # Keras looks at one batch before it begins and, with several workers
        # on JAX and PyTorch, goes on behind it: 1, 2, 0, 1, 2, 0 for any model.
        first = 1
    as_arrays(Batches(*batch, workers=workers, max_queue_size=4), first=first)


@pytest.mark.cell("tf.data")
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.data is TensorFlow's"
)
@pytest.mark.parametrize(
    "jit_compile", [False, pytest.param(True, marks=pytest.mark.long)]
)
def test_tf_data_trains_as_arrays_do(
    build, compiled, batch, values, same, xla, jit_compile
):
    import tensorflow as tf

    def train(*data, **kwargs):
        model = compiled(build(), jit_compile=jit_compile)
        logs = model.fit(*data, **kwargs, **ARGUMENTS).history
        return logs, values(model.student)

    data = tf.data.Dataset.from_tensor_slices(batch).batch(8)
    arrays, stream = train(*batch, batch_size=8), train(data)
    same(arrays[1], stream[1])
    assert arrays[0] == stream[0]


# Keras says so at the end of every epoch on Grain, for any model.
@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.cell("Grain")
@pytest.mark.parametrize(
    "kind",
    [
        "MapDataset",
        pytest.param("IterDataset", marks=pytest.mark.long),
        pytest.param("DataLoader", marks=pytest.mark.long),
    ],
)
def test_grain_trains_as_arrays_do(as_arrays, batch, kind):
    grain = pytest.importorskip("grain", reason="grain is not installed")
    images, labels = batch
    examples = list(zip(images, labels, strict=True))
    if kind == "DataLoader":
        data = grain.DataLoader(
            data_source=examples,
            sampler=grain.samplers.SequentialSampler(num_records=24),
            operations=[grain.transforms.Batch(batch_size=8)],
        )
    else:
        data = grain.MapDataset.source(examples).batch(8)
        data = data if kind == "MapDataset" else data.to_iter_dataset()
    as_arrays(data)


def test_arrays_of_other_kinds_are_taken(on_arrays, trained, batch, same):
    images, labels = batch
    expected = on_arrays()
    tensors = [keras.ops.convert_to_tensor(part) for part in batch]
    found = trained(*tensors, batch_size=8, validation=batch)
    same(expected[1], found[1])
    assert found[0] == expected[0]
    bytes_ = trained(
        np.asarray(images > 0, "uint8"), labels, batch_size=8, validation=batch
    )
    assert np.all(np.isfinite(bytes_[0]["loss"]))
