"""Settings that Keras cannot run on several replicas are refused."""

import functools

import keras
import pytest
import tensorflow as tf

from keras_ft import InputError

refused = functools.partial(
    pytest.mark.cell, says="refused", where="MirroredStrategy"
)
SGD = keras.optimizers.SGD
CONDITIONAL = {
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 2},
    "ema_overwrite_frequency": {"use_ema": True, "ema_overwrite_frequency": 2},
}


def scaled(**settings):
    return keras.optimizers.LossScaleOptimizer(SGD(0.1, **settings))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "gradient_accumulation_steps",
            marks=refused("gradient accumulation"),
        ),
        pytest.param(
            "ema_overwrite_frequency", marks=refused("ema_overwrite_frequency")
        ),
    ],
)
@pytest.mark.parametrize("make", [functools.partial(SGD, 0.1), scaled])
def test_updates_in_some_steps_only(build, strategy, images, name, make):
    optimizer = functools.partial(make, **CONDITIONAL[name])
    model = build(strategy.scope, optimizer=optimizer)
    with pytest.raises(InputError) as caught:
        model.fit(*images[:2], batch_size=8, verbose=0)
    assert caught.value.argument == name
    assert "2, under a MirroredStrategy" in caught.value.received
    assert model.optimizer.iterations == 0


@pytest.fixture
def plain_fit(network, images):
    """Trains a plain Keras classifier, to see what Keras does."""

    def run(scope, optimizer, **kwargs):
        with scope():
            model = network(4, normalize=False)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(optimizer(), loss, **kwargs)
        model.fit(*images[:2], batch_size=68, verbose=0)

    return run


# Each refusal has a reason only as long as Keras fails: when one of these
# passes one day, the refusal can go.
@pytest.mark.parametrize("settings", CONDITIONAL.values(), ids=CONDITIONAL)
def test_keras_cannot_update_in_some_steps_only(plain_fit, strategy, settings):
    for several in (strategy, tf.distribute.MirroredStrategy(["CPU:0"])):
        with pytest.raises(RuntimeError, match="merge_call"):
            plain_fit(several.scope, functools.partial(SGD, 0.1, **settings))


def test_keras_cannot_run_several_steps_in_one_call(plain_fit, strategy):
    with pytest.raises(tf.errors.InvalidArgumentError, match="placeholder"):
        plain_fit(strategy.scope, SGD, steps_per_execution=2)


@pytest.fixture
def xla(monkeypatch):
    # Keras turns XLA off while TensorFlow runs deterministically, as here.
    monkeypatch.setattr(
        "keras.src.trainers.trainer.model_supports_jit", lambda model: True
    )


@pytest.mark.usefixtures("xla")
def test_keras_cannot_run_a_compiled_step(plain_fit, strategy):
    with pytest.raises(tf.errors.InvalidArgumentError):
        plain_fit(strategy.scope, SGD, jit_compile=True)


@refused("jit_compile")
@pytest.mark.usefixtures("xla")
def test_xla(build, strategy, images):
    model = build(strategy.scope, compiled={"jit_compile": True})
    for method in (model.fit, model.evaluate):
        with pytest.raises(InputError, match="`jit_compile`.*2 replicas"):
            method(*images[:2], batch_size=8, verbose=0)
    assert not build(strategy.scope).jit_compile


@refused("steps_per_execution")
def test_several_steps_in_one_call(build, strategy, images):
    model = build(strategy.scope, compiled={"steps_per_execution": 2})
    with pytest.raises(InputError, match="`steps_per_execution`.*2, under 2"):
        model.fit(*images[:2], batch_size=8, verbose=0)
    # Keras can evaluate that way.
    model.evaluate(*images[:2], batch_size=68, verbose=0)
