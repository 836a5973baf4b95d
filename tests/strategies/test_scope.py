"""Everything is made in the scope of one supported strategy."""

import contextlib
import functools

import keras
import pytest
import tensorflow as tf

from keras_ft import Distiller
from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import Translator
from keras_ft import transfers
from keras_ft.validation import strategies

refused = functools.partial(
    pytest.mark.cell, says="refused", where="MirroredStrategy"
)


@pytest.fixture
def parts(network):
    """Makes the four models, those in `outside` without the scope."""

    def make(scope, outside=()):
        makers = {
            "teacher": lambda: network(8),
            "student": lambda: network(4),
            "paraphraser": lambda: built(Paraphraser(0.5), 8),
            "translator": lambda: built(Translator(4), 4),
        }
        made = {}
        for name, maker in makers.items():
            with contextlib.nullcontext() if name in outside else scope():
                made[name] = maker()
        return made

    return make


def built(layer, channels):
    layer.build((None, 8, 8, channels))
    layer.trained = True
    return layer


@refused("models from outside the scope")
@pytest.mark.parametrize(
    "name", ["teacher", "student", "paraphraser", "translator"]
)
def test_a_model_from_outside_is_named(parts, strategy, name):
    made = parts(strategy.scope, outside=[name])
    with strategy.scope(), pytest.raises(InputError) as caught:
        FactorTransfer(**made)
    assert caught.value.argument == name
    assert made[name].name in caught.value.received
    assert "`with strategy.scope():`" in caught.value.fix


@pytest.mark.parametrize("outside", [0, 1])
def test_of_two_factor_terms_the_one_from_outside_is_named(
    network, strategy, outside
):
    terms = []
    for index in range(2):
        with contextlib.nullcontext() if index == outside else strategy.scope():
            paraphraser = built(Paraphraser(0.5), 8)
        with strategy.scope():
            terms.append(transfers.FactorMatch(paraphraser, name=f"t{index}"))
    with strategy.scope(), pytest.raises(InputError) as caught:
        Distiller(network(8), network(4), terms)
    assert caught.value.argument == f"transfers[{outside}].paraphraser"


def test_the_wrapper_must_be_in_the_scope_too(parts, strategy):
    made = parts(strategy.scope)
    with pytest.raises(InputError, match="made within a strategy's scope"):
        FactorTransfer(**made)


def test_a_teacher_may_come_from_a_scope(
    network, strategy, images, values, gap
):
    """It teaches one device as a teacher that was made there does."""

    def train(scope):
        keras.utils.set_random_seed(0)
        with scope():
            teacher = network(8)
        model = Distiller(teacher, network(4), [transfers.SoftTargets()])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        before = values(teacher.variables)
        logs = model.fit(*images[:2], shuffle=False, verbose=0).history
        assert gap(before, values(teacher.variables)) == 0
        return values(model.student.variables), logs

    expected, expected_logs = train(contextlib.nullcontext)
    found, logs = train(strategy.scope)
    assert gap(expected, found) <= 1e-7
    assert logs["soft_target_loss"][0] > 0
    for name, logged in expected_logs.items():
        assert logs[name] == pytest.approx(logged, rel=1e-5), name


def test_fit_in_a_scope_of_a_model_from_outside(build, strategy, images):
    model = build()
    with strategy.scope():
        with pytest.raises(InputError, match="made outside of it"):
            model.fit(*images[:2], verbose=0)
        with pytest.raises(InputError, match="made outside of it"):
            model.evaluate(*images[:2], verbose=0)
    assert model.optimizer.iterations == 0


def test_an_optimizer_from_outside(build, strategy, images):
    model = build(strategy.scope)
    model.compile("adam", model.loss)
    with pytest.raises(InputError, match="`optimizer`.*Adam, made in another"):
        model.fit(*images[:2], verbose=0)
    alone = build()
    with strategy.scope():
        alone.compile("adam", alone.loss)
    with pytest.raises(InputError, match="`optimizer`.*Adam, made in another"):
        alone.fit(*images[:2], verbose=0)


@pytest.mark.cell("OneDeviceStrategy", where="TensorFlow")
def test_one_device_strategies_train_the_same_bits(train, gap):
    expected = train(fit={"epochs": 1, "steps_per_epoch": 4}).weights
    for one in (
        tf.distribute.OneDeviceStrategy("CPU:0"),
        tf.distribute.MirroredStrategy(["CPU:0"]),
    ):
        found = train(
            one.scope, fit={"epochs": 1, "steps_per_epoch": 4}
        ).weights
        assert gap(expected, found) <= 1e-7


# They want a cluster or a TPU to be made; which they are is all that counts.
@pytest.mark.cell(
    "ParameterServerStrategy and TPUStrategy", "refused", where="TensorFlow"
)
@pytest.mark.parametrize("name", ["ParameterServerStrategy", "TPUStrategy"])
def test_strategies_that_are_not_supported(name):
    kind = getattr(tf.distribute, name)
    with pytest.raises(InputError, match=f"{name}, which is not supported"):
        strategies.check_supported(kind.__new__(kind))


def test_an_unsupported_strategy_stops_the_construction(parts):
    central = tf.distribute.experimental.CentralStorageStrategy(["CPU:0"])
    made = parts(central.scope)
    with central.scope(), pytest.raises(InputError, match="CentralStorage"):
        FactorTransfer(**made)


def test_keras_own_loops_on_several_machines(build, images):
    several = tf.distribute.MultiWorkerMirroredStrategy()
    model = build(several.scope)
    for method in (model.fit, model.evaluate):
        with pytest.raises(InputError, match=r"keras_ft\.multi_worker\.fit"):
            method(*images[:2], verbose=0)


@pytest.mark.cell("keras.distribution", "refused", where="TensorFlow")
def test_a_keras_distribution_is_ignored_by_keras(build, images):
    model = build()
    devices = ["cpu:0", "cpu:1"]
    layout = keras.distribution.DataParallel(devices=devices)
    keras.distribution.set_distribution(layout)
    try:
        with pytest.raises(InputError, match="where Keras ignores it"):
            model.fit(*images[:2], verbose=0)
        with pytest.raises(InputError, match="where Keras ignores it"):
            build()
    finally:
        keras.distribution.set_distribution(None)
