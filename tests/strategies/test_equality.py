"""Two replicas train to the weights and logs of one device."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft import CoupledSGD
from keras_ft import transfers

cell = functools.partial(pytest.mark.cell, where="MirroredStrategy")
long = pytest.mark.long
optimizers = keras.optimizers

# Weights after 51 steps differ by the order in which sums are taken.
TOLERANCE = 1e-6
SHORT = {"epochs": 1, "steps_per_epoch": 4}


class Batches(keras.utils.PyDataset):
    """The images in batches of 8."""

    def __init__(self, images):
        super().__init__()
        self.arrays = images

    def __len__(self):
        return len(self.arrays[0]) // 8

    def __getitem__(self, index):
        part = slice(8 * index, 8 * index + 8)
        return tuple(array[part] for array in self.arrays)


@pytest.fixture(scope="module")
def pair(on_both, images):
    """One rich training on one device and on two replicas."""
    return on_both(
        also=lambda: [transfers.SoftTargets(beta=0.5)],
        optimizer=lambda: CoupledSGD(0.05, momentum=0.9, weight_decay=1e-3),
        compiled={"metrics": ["accuracy"], "weighted_metrics": ["accuracy"]},
        fit={"sample_weight": images[2], "validation_data": images},
    )


@cell("phase 2")
@cell("NumPy arrays")
@cell("sample_weight")
@cell("SGD and CoupledSGD")
def test_weights(pair, gap):
    alone, both = pair
    assert gap(alone.weights, both.weights) <= TOLERANCE


@cell("each loss term logged exactly")
@cell("validation_data")
@cell("weighted metrics")
def test_every_number_in_the_logs(pair):
    alone, both = pair
    names = {"task", "factor", "soft_target", "regularization"}
    for prefix in ("", "val_"):
        assert {f"{prefix}{name}_loss" for name in names} < alone.logs.keys()
    assert alone.logs.keys() == both.logs.keys()
    for name, expected in alone.logs.items():
        found = both.logs[name]
        # Sums over eight images in another order, for losses of about 1.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@cell("teacher and paraphraser unchanged")
@pytest.mark.parametrize(
    "acceleration", ["auto", pytest.param("none", marks=long)]
)
def test_teacher_and_paraphraser_never_change(
    pair, on_both, images, values, acceleration
):
    if acceleration == "none":
        # One device runs a folded teacher unless told not to.
        validated = {**SHORT, "validation_data": images}
        pair = on_both(acceleration=acceleration, fit=validated)
    for one in pair:
        # It would change if it ran in training mode.
        assert one.model.teacher.get_layer("norm").trainable
        one.model.evaluate(*images[:2], batch_size=8, verbose=0)
        one.model.predict(images[0], batch_size=8, verbose=0)
        after = values(one.model.frozen_variables)
        assert len(after) > 8
        for old, new in zip(one.frozen_before, after, strict=True):
            np.testing.assert_array_equal(old, new)


@cell("evaluate and predict")
def test_evaluate_and_predict(pair, images, values, gap):
    alone, both = (one.model for one in pair)
    before = values(both.variables)
    x, y, weights = images
    arguments = {"sample_weight": weights, "batch_size": 8, "verbose": 0}
    logs = [
        model.evaluate(x, y, return_dict=True, **arguments)
        for model in (alone, both)
    ]
    predictions = [
        model.predict(x[:23], batch_size=8, verbose=0)
        for model in (alone, both)
    ]
    assert logs[1] == pytest.approx(logs[0], rel=1e-5, abs=1e-6)
    assert predictions[1].shape == (23, 4)
    np.testing.assert_allclose(*predictions, atol=1e-5)
    assert gap(before, values(both.variables)) == 0


def stream(images):
    slices = tf.data.Dataset.from_tensor_slices(images)
    return slices.batch(8, drop_remainder=True)


CASES = {
    "p=1": {"p": 1, "optimizer": lambda: optimizers.SGD(1e-3, momentum=0.9)},
    "Adam": {
        "optimizer": lambda: optimizers.Adam(1e-3),
        "fit": {"class_weight": {0: 0.0, 1: 0.5, 2: 1.0, 3: 2.5}},
    },
    "AdamW": {
        "optimizer": lambda: optimizers.AdamW(1e-3, weight_decay=0.01),
        "data": stream,
    },
    "Muon": {"optimizer": lambda: optimizers.Muon(1e-3), "data": Batches},
    "use_ema": {
        "optimizer": lambda: optimizers.SGD(0.05, momentum=0.9, use_ema=True),
        "fit": {"validation_split": 1 / 3, "validation_freq": 3},
    },
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("p=1", marks=long),
        pytest.param("Adam", marks=[cell("Adam"), cell("class_weight")]),
        pytest.param("AdamW", marks=[cell("AdamW"), cell("tf.data"), long]),
        pytest.param("Muon", marks=[cell("Muon"), cell("PyDataset"), long]),
        pytest.param(
            "use_ema",
            marks=[
                cell("moving average of weights"),
                cell("validation_split"),
                long,
            ],
        ),
    ],
)
def test_weights_in_other_settings(on_both, images, gap, case):
    settings = dict(CASES[case])
    if make := settings.pop("data", None):
        settings["data"] = make(images)
    alone, both = on_both(**settings)
    assert gap(alone.weights, both.weights) <= TOLERANCE
    assert both.logs["loss"] == pytest.approx(alone.logs["loss"], rel=1e-5)


@cell("synchronized batch normalization", "<= 5e-5")
def test_synchronized_batch_normalization(on_both, gap):
    student = {"normalize": True, "synchronized": True}
    alone, both = on_both(student=student)
    assert gap(alone.weights, both.weights) <= 5e-5


# A sum of two halves is rounded to other float16 (10 bits) or bfloat16 (7
# bits) numbers than one sum: the bounds are about their rounding errors.
@pytest.mark.parametrize(
    "policy, bound",
    [
        pytest.param(
            "mixed_float16", 1e-3, marks=cell("mixed_float16", "<= 1e-3")
        ),
        pytest.param(
            "mixed_bfloat16",
            1e-2,
            marks=[cell("mixed_bfloat16", "<= 1e-2"), long],
        ),
    ],
)
def test_mixed_precision(on_both, gap, policy, bound):
    keras.config.set_dtype_policy(policy)
    optimizer = functools.partial(optimizers.SGD, 1e-2)
    alone, both = on_both(optimizer=optimizer)
    assert gap(alone.weights, both.weights) <= bound
    scaled = type(both.model.optimizer).__name__ == "LossScaleOptimizer"
    assert scaled == (policy == "mixed_float16")


@cell("beta=0 equals student.fit()")
def test_beta_zero_trains_like_the_student_alone(
    train, build, strategy, images, values, gap
):
    distilled = train(strategy.scope, beta=0.0)
    student = build(strategy.scope).student
    with strategy.scope():
        student.compile(
            optimizers.SGD(0.05, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
    student.fit(*images[:2], batch_size=8, epochs=3, shuffle=False, verbose=0)
    after = values(distilled.model.student.trainable_variables)
    assert gap(after, values(student.trainable_variables)) == 0


@cell("run_eagerly")
@pytest.mark.parametrize(
    "settings",
    [
        {"gradient_accumulation_steps": 2},
        pytest.param(
            {"use_ema": True, "ema_overwrite_frequency": 2}, marks=long
        ),
    ],
)
def test_conditional_updates_run_eagerly(on_both, gap, settings):
    alone, both = on_both(
        optimizer=lambda: optimizers.SGD(0.05, **settings),
        compiled={"run_eagerly": True},
        fit=SHORT,
    )
    assert gap(alone.weights, both.weights) <= TOLERANCE


def test_the_callers_arrays_are_left_alone(train, strategy, gap):
    # TensorFlow shares the memory of arrays that begin at 64 bytes.
    place = np.zeros(24 + 16, "float32")
    start = -place.ctypes.data % 64 // 4
    weights = place[start : start + 24]
    weights[:] = np.linspace(0.0, 2.0, 24)
    before = weights.copy()
    x = np.ones((24, 8, 8, 3), "float32")
    data = Batches((x, np.zeros(24, "int32"), weights))
    model = train(strategy.scope, data=data, fit={"epochs": 1}).model
    model.evaluate(data, verbose=0)
    np.testing.assert_array_equal(weights, before)
    assert (x == 1).all()


@cell("distributed datasets")
def test_a_dataset_that_is_already_distributed(train, strategy, images, gap):
    batches = stream(images)
    shared = strategy.experimental_distribute_dataset(batches)
    one = train(strategy.scope, data=batches, fit=SHORT)
    other = train(strategy.scope, data=shared, fit=SHORT)
    assert gap(one.weights, other.weights) == 0


def test_a_single_batch_goes_to_every_replica(build, strategy, images, gap):
    both = [build(), build(strategy.scope)]
    x, y, weights = (array[:7] for array in images)
    logs = [
        model.train_on_batch(x, y, weights, return_dict=True) for model in both
    ]
    assert logs[1] == pytest.approx(logs[0], rel=1e-5, abs=1e-6)
    weights = [[np.array(v) for v in m.trainable_variables] for m in both]
    assert gap(*weights) <= TOLERANCE


@cell("mixed_float16", "<= 1e-3")
def test_an_overflow_on_one_replica_skips_the_step_on_all(build, strategy):
    keras.config.set_dtype_policy("mixed_float16")
    model = build(strategy.scope)
    before = [np.array(v) for v in model.trainable_variables]
    images = np.ones((8, 8, 8, 3), "float32")
    weights = np.r_[np.ones(4), np.full(4, 1e9)].astype("float32")
    batches = tf.data.Dataset.from_tensors((images, np.arange(8) % 4, weights))
    model.fit(batches, verbose=0)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert model.optimizer.dynamic_scale.value.numpy() == 2.0**14


@cell("unlabelled images")
def test_images_without_labels(on_both, images, gap):
    """The replicas' halves of a batch have 1 and 3 labels, or none."""
    labels = images[1].reshape(-1, 8).copy()
    labels[:, [1, 2, 3, 5]] = -1
    labels[::3, :4] = -1
    labels[1::6] = -1
    alone, both = on_both(
        labels=labels.reshape(-1),
        ignore_class=-1,
        compiled={"metrics": ["accuracy"]},
    )
    assert gap(alone.weights, both.weights) <= TOLERANCE
    for name, logged in alone.logs.items():
        assert both.logs[name] == pytest.approx(logged, rel=1e-4), name
