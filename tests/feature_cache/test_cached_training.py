"""Training on a cache's batches equals training with the live teacher."""

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft import InputError
from keras_ft.feature_cache import FeatureCache


@pytest.fixture(scope="module")
def data():
    return keras_ft.data.load(
        "fashion_mini", batch_size=16, train_examples=64, drop_remainder=True
    )


def network(channels):
    image = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(channels, 5, strides=4, padding="same")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU(name="features")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(10)(x))


def compiled(model):
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


class Counting(keras.layers.Layer):
    """Counts the teacher's passes."""

    def build(self, shape):
        self.count = self.add_weight(
            shape=(), initializer="zeros", trainable=False
        )

    def call(self, x):
        self.count.assign_add(1.0)
        return x


def models(soft_targets=False):
    keras.utils.set_random_seed(0)
    inner, counter = network(8), Counting()
    image = keras.Input((28, 28, 1))
    x = counter(image)
    for layer in inner.layers[1:]:
        x = layer(x)
    teacher = keras.Model(image, x)
    also = [keras_ft.transfers.SoftTargets(beta=0.5)] if soft_targets else []
    paraphraser = keras_ft.Paraphraser(0.5)
    phase1 = compiled(keras_ft.ParaphraserTrainer(teacher, paraphraser))
    model = keras_ft.FactorTransfer(
        teacher, network(4), paraphraser, beta=50.0, also=also
    )
    return phase1, compiled(model), counter


def train(phase1, model, source, epochs=3):
    arguments = {
        "steps_per_epoch": source.steps_per_epoch,
        "epochs": epochs,
        "verbose": 0,
    }
    first = phase1.fit(source.train_from(0), **arguments).history
    second = model.fit(
        source.train_from(0), validation_data=source.validation, **arguments
    ).history
    return first, second


@pytest.mark.parametrize(
    "soft_targets", [True, pytest.param(False, marks=pytest.mark.long)]
)
def test_a_float32_cache_trains_as_the_live_teacher(data, soft_targets):
    phase1, model, _ = models(soft_targets)
    live = train(phase1, model, data)
    phase1, cached, counter = models(soft_targets)
    cache = FeatureCache.build(
        None,
        cached.teacher,
        data,
        logits=soft_targets,
        views=3,
        dtype="float32",
        echo=None,
    )
    before = float(counter.count)
    found = train(phase1, cached, cache)
    assert float(counter.count) == before
    for one, two in zip(live, found, strict=True):
        assert one.keys() == two.keys()
        for name, values in one.items():
            assert two[name] == pytest.approx(values, rel=1e-4), name
    for mine, theirs in zip(
        cached.student.get_weights(), model.student.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_a_cached_dataset_can_be_predicted_and_evaluated(data):
    _, model, _ = models()
    cache = FeatureCache.build(None, model.teacher, data, views=1, echo=None)
    on_cache = model.predict(cache.test, verbose=0)
    np.testing.assert_allclose(
        on_cache, model.predict(data.test, verbose=0), atol=1e-6
    )
    model.paraphraser.trained = True
    logs = model.evaluate(cache.validation, return_dict=True, verbose=0)
    assert logs["factor_loss"] > 0


def test_a_cache_without_the_wanted_outputs_is_refused(data):
    phase1, model, _ = models(soft_targets=True)
    cache = FeatureCache.build(None, model.teacher, data, views=1, echo=None)
    model.paraphraser.trained = True
    with pytest.raises(InputError, match="logits=True"):
        model.fit(cache.train_from(0), steps_per_epoch=1, verbose=0)
    phase1.fit(cache.train_from(0), steps_per_epoch=1, verbose=0)
