"""Every kind of bad input meets our own error before the first step."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_ft import Distiller
from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft import transfers

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ONE_HOT = keras.losses.CategoricalCrossentropy(from_logits=True)


def compiled(model, loss=SPARSE):
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


@pytest.fixture
def pair(network):
    return network(8), network(4)


@pytest.fixture
def untouched(pair):
    """Fails when a refused call changed the student."""
    before = [np.array(v) for v in pair[1].variables]
    yield
    for old, new in zip(before, pair[1].variables, strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.fixture
def model(pair, paraphraser, untouched):
    return compiled(FactorTransfer(*pair, paraphraser))


@pytest.mark.parametrize("argument", ["teacher", "student"])
def test_unknown_layers_are_named_with_near_misses(pair, paraphraser, argument):
    with pytest.raises(InputError, match="Did you mean 'features'") as caught:
        FactorTransfer(
            *pair, paraphraser, **{f"{argument}_layer_name": "feature"}
        )
    assert caught.value.argument == f"{argument}_layer_name"


def test_unbuilt_and_graphless_models(pair, paraphraser):
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    unbuilt = keras.Sequential([layers.Dense(3)])
    with pytest.raises(InputError, match="never built"):
        FactorTransfer(unbuilt, pair[1], paraphraser)
    graphless = Subclassed()
    graphless.build((None, 8, 8, 3))
    with pytest.raises(InputError, match="no graph"):
        FactorTransfer(graphless, pair[1], paraphraser)
    with pytest.raises(InputError, match="a str"):
        FactorTransfer("teacher.keras", pair[1], paraphraser)


@pytest.mark.parametrize("beta", [-1.0, float("nan"), float("inf"), "500"])
def test_beta(pair, paraphraser, beta):
    with pytest.raises(InputError, match="Invalid `beta`"):
        FactorTransfer(*pair, paraphraser, beta=beta)


@pytest.mark.parametrize("p", [0, 3, "1"])
def test_p(pair, paraphraser, p):
    with pytest.raises(InputError, match="Invalid `p`"):
        FactorTransfer(*pair, paraphraser, p=p)


@pytest.mark.parametrize("weight", [-0.1, float("nan"), None])
def test_task_weight(pair, weight):
    with pytest.raises(InputError, match="Invalid `task_weight`.*at least 0"):
        Distiller(*pair, [transfers.SoftTargets()], task_weight=weight)


def test_an_untrained_paraphraser(pair, batch, untouched):
    model = compiled(FactorTransfer(*pair, Paraphraser(0.5)))
    with pytest.raises(InputError, match="never trained.*ParaphraserTrainer"):
        model.fit(*batch, verbose=0)


def test_a_paraphraser_of_another_teacher(pair, paraphraser):
    paraphraser.build((None, 8, 8, 32))
    with pytest.raises(InputError, match="features of 32 channels"):
        FactorTransfer(*pair, paraphraser)


def test_a_rate_that_leaves_no_channel(pair):
    with pytest.raises(InputError, match="leaves 0 of 8 channels"):
        ParaphraserTrainer(pair[0], Paraphraser(0.01))


def test_labels_out_of_range_in_arrays_and_streams(model, batch):
    images, labels = batch
    for wrong in (labels + 3, labels - 1):
        with pytest.raises(InputError, match="labels from -?\\d+ to \\d+"):
            model.fit(images, wrong, verbose=0)
        stream = tf.data.Dataset.from_tensor_slices((images, wrong)).batch(24)
        with pytest.raises(InputError, match="labels outside of 0 to 3"):
            model.fit(stream, verbose=0)


def test_only_the_ignored_label_may_be_out_of_range_in_streams(
    pair, paraphraser, batch
):
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=255
    )
    model = compiled(FactorTransfer(*pair, paraphraser), loss)
    images, labels = batch
    some = np.where(labels == 0, 255, labels)
    data = tf.data.Dataset.from_tensor_slices((images, some)).batch(24)
    model.fit(data, verbose=0)
    wrong = data.map(lambda x, y: (x, y - 1))
    with pytest.raises(InputError, match="labels outside of 0 to 3"):
        model.fit(wrong, verbose=0)


def test_one_hot_and_integer_labels_are_not_mixed_up(pair, paraphraser, batch):
    images, labels = batch
    one_hot = np.eye(4, dtype="float32")[labels]
    model = compiled(FactorTransfer(*pair, paraphraser))
    with pytest.raises(InputError, match="one-hot labels.*sparse"):
        model.fit(images, one_hot, verbose=0)
    compiled(model, ONE_HOT)
    with pytest.raises(InputError, match="categorical loss"):
        model.fit(images, labels, verbose=0)


def test_a_softmax_without_a_graph_is_no_source_of_logits(pair, batch):
    class Softmax(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = pair[0]
            self.last = layers.Softmax()

        def call(self, x):
            return self.last(self.network(x))

    teacher = Softmax()
    teacher(batch[0])
    with pytest.raises(InputError, match="softmax.*taken off.*subclassed"):
        Distiller(teacher, pair[1], [transfers.SoftTargets()])


def test_a_softmax_student_with_a_loss_on_logits(pair, paraphraser, batch):
    student = keras.Sequential([*pair[1].layers, layers.Activation("softmax")])
    model = compiled(FactorTransfer(pair[0], student, paraphraser))
    with pytest.raises(InputError, match="from_logits=True"):
        model.fit(*batch, verbose=0)


def test_a_student_of_logits_with_a_loss_on_probabilities(model, batch):
    for loss in (
        "sparse_categorical_crossentropy",
        keras.losses.SparseCategoricalCrossentropy(),
    ):
        compiled(model, loss)
        with pytest.raises(InputError, match="expects probabilities"):
            model.fit(*batch, verbose=0)


def test_different_classes_for_soft_targets(network):
    with pytest.raises(InputError, match="the teacher's, \\(10,\\)"):
        Distiller(network(8, classes=10), network(4), [transfers.SoftTargets()])


def test_no_labels_for_a_loss_that_wants_some(model, batch):
    stream = tf.data.Dataset.from_tensor_slices(batch[0]).batch(8)
    for images in (batch[0], stream):
        with pytest.raises(InputError, match="no labels.*without a loss"):
            model.fit(images, verbose=0)
    with pytest.raises(InputError, match="no labels"):
        model.train_on_batch(batch[0])


def test_a_model_that_is_not_compiled(pair, paraphraser, batch):
    model = FactorTransfer(*pair, paraphraser)
    with pytest.raises(InputError, match="is not compiled. Call model.compile"):
        model.fit(*batch, verbose=0)


def test_no_data_and_empty_data(model, batch):
    images, labels = batch
    with pytest.raises(InputError, match="Received: None"):
        model.fit()
    with pytest.raises(InputError, match="empty dataset"):
        model.fit(images[:0], labels[:0], verbose=0)
    empty = tf.data.Dataset.from_tensor_slices((images, labels)).take(0)
    with pytest.raises(InputError, match="empty dataset"):
        model.fit(empty.batch(8), verbose=0)


def test_images_of_the_wrong_rank_or_size(model, batch):
    images, labels = batch
    unbatched = tf.data.Dataset.from_tensor_slices((images, labels))
    with pytest.raises(InputError, match="dataset.batch"):
        model.fit(unbatched, verbose=0)
    with pytest.raises(InputError, match=r"\(24, 4, 4, 3\)"):
        model.fit(images[:, :4, :4], labels, verbose=0)
    with pytest.raises(InputError, match="one per image"):
        model.fit(images, labels[:5], verbose=0)


def test_networks_for_different_images(network, paraphraser):
    with pytest.raises(InputError, match="the teacher's, \\(None, 8, 8, 3\\)"):
        FactorTransfer(network(8), network(4, size=16), paraphraser)


def test_teacher_and_student_must_be_two_models(network, paraphraser):
    teacher = network(8)
    with pytest.raises(InputError, match="shares weights"):
        FactorTransfer(teacher, teacher, paraphraser)


def test_a_teacher_with_nan_weights(pair, paraphraser, batch, untouched):
    kernel = pair[0].get_layer("conv").kernel
    kernel.assign(kernel * np.nan)
    model = compiled(FactorTransfer(*pair, paraphraser))
    with pytest.raises(InputError, match="NaN or infinity in 'conv/kernel'"):
        model.fit(*batch, verbose=0)


def test_things_that_are_no_transfer_and_double_names(pair):
    with pytest.raises(InputError, match=r"transfers\[0\]"):
        Distiller(*pair, ["kd"])
    twice = [transfers.Hint(), transfers.Hint()]
    with pytest.raises(InputError, match="a different name"):
        Distiller(*pair, twice)


def test_a_rate_that_no_machine_could_hold():
    with pytest.raises(InputError, match="at most 100") as caught:
        Paraphraser(rate=1e9)
    assert caught.value.argument == "rate"


def stream(*parts):
    return tf.data.Dataset.from_tensor_slices(parts).batch(8)


# What a call of `fit` gets, and the argument that its error names.
ODD_INPUT = {
    "labels of text": (lambda x, y: ((x, y.astype(str)), {}), "y"),
    "labels of text in a stream": (
        lambda x, y: ((stream(x, y.astype(str)),), {}),
        "y",
    ),
    "objects for labels": (lambda x, y: ((x, y.astype(object)), {}), "y"),
    "objects for images": (lambda x, y: ((x.astype(object), y), {}), "x"),
    "complex images": (lambda x, y: ((x.astype("complex64"), y), {}), "x"),
    "labels with fractions": (lambda x, y: ((x, y + 0.5), {}), "y"),
    "labels with fractions in a stream": (
        lambda x, y: ((stream(x, y + 0.5),), {}),
        "y",
    ),
    "labels of NaN": (lambda x, y: ((x, y * np.nan), {}), "y"),
    "labels of NaN in a stream": (
        lambda x, y: ((stream(x, y * np.nan),), {}),
        "y",
    ),
    "four parts": (lambda x, y: ((stream(x, y, y, y),), {}), "x"),
    "negative weights": (
        lambda x, y: ((x, y), {"sample_weight": -np.ones(len(x))}),
        "sample_weight",
    ),
    "weights of NaN": (
        lambda x, y: ((stream(x, y, y * np.nan),), {}),
        "sample_weight",
    ),
    "a negative class weight": (
        lambda x, y: ((x, y), {"class_weight": dict.fromkeys(range(4), -1.0)}),
        "sample_weight",
    ),
    "large images for validation": (
        lambda x, y: ((x, y), {"validation_data": (x.repeat(2, 1), y)}),
        "x",
    ),
    "unknown classes in validation": (
        lambda x, y: ((x, y), {"validation_data": (x, y + 9)}),
        "y",
    ),
    "validation without batches": (
        lambda x, y: ((x, y), {"validation_data": stream(x, y).take(0)}),
        "x",
    ),
}


@pytest.mark.parametrize("case", ODD_INPUT)
def test_odd_input_is_refused_before_the_first_step(model, batch, case):
    make, argument = ODD_INPUT[case]
    arguments, settings = make(*batch)
    with pytest.raises(InputError) as caught:
        model.fit(*arguments, **settings, verbose=0)
    # `untouched` sees whether a step was made.
    assert caught.value.argument == argument


def test_whole_labels_may_be_floats(pair, paraphraser, batch):
    model = compiled(FactorTransfer(*pair, paraphraser))
    images, labels = batch
    labels = labels.astype("float32")
    model.fit(images, labels, verbose=0)
    model.fit(stream(images, labels), verbose=0)


def test_a_frozen_student(pair, paraphraser, batch):
    pair[1].trainable = False
    model = compiled(FactorTransfer(*pair, paraphraser))
    with pytest.raises(InputError, match="student.trainable = True"):
        model.fit(*batch, verbose=0)


def test_a_student_of_two_inputs(pair):
    images = [keras.Input((8, 8, 3)) for _ in range(2)]
    both = layers.Conv2D(4, 3)(layers.Add()(images))
    with pytest.raises(InputError, match="a model of 2 inputs"):
        Distiller(pair[0], keras.Model(images, both), [])


def test_an_optimizer_of_another_phase(pair, paraphraser, batch):
    optimizer = keras.optimizers.Adam()
    phase1 = ParaphraserTrainer(pair[0], Paraphraser())
    phase1.compile(optimizer)
    phase1.fit(batch[0], verbose=0)
    model = FactorTransfer(*pair, paraphraser)
    model.compile(optimizer, SPARSE)
    with pytest.raises(InputError, match="has trained another") as caught:
        model.fit(*batch, verbose=0)
    assert caught.value.argument == "optimizer"
