import hashlib
import zipfile

import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.folded_teacher import refold
from keras_ft.acceleration.folded_teacher import relative_error
from keras_ft.errors import InputError
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap

layers = keras.layers


def test_nested_models_are_opened(
    randomised, images, kinds, assert_equal, one_conv
):
    inner = one_conv()
    inside = keras.Sequential(
        [keras.Input((8, 8, 6)), layers.Dropout(0.5), inner_conv()], name="seq"
    )
    image = keras.Input((8, 8, 3))
    x = layers.Dropout(0.5)(inside(inner(image)))
    # A second call of a nested model; operations without a layer.
    y = keras.ops.relu(x[:, ::2, ::2, :3] * 2.0 - 0.5)
    original = randomised(keras.Model(image, [x, inner(resized(y))]))
    folded = fold(original)
    assert not any(isinstance(x, keras.Model) for x in folded.layers)
    assert "Dropout" not in kinds(folded)
    assert_equal(original, folded, images(4, 8, 8, 3))


def inner_conv():
    return keras.Sequential(
        [
            keras.Input((8, 8, 6)),
            layers.DepthwiseConv2D(3),
            layers.BatchNormalization(),
        ]
    )


def resized(x):
    return layers.UpSampling2D(8 // x.shape[1] + 1)(x)[:, :8, :8]


def test_a_tap_inside_a_nested_model(images, assert_equal, one_conv):
    inner = one_conv()
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(inner(image))
    teacher = keras.Model(image, layers.Dense(3)(x))
    name = f"{inner.name}/conv"
    original = feature_extractor(
        teacher, [find_tap(teacher, name, "teacher_layer")]
    )
    assert_equal(original, fold(original), images(4, 8, 8, 3))


def test_dictionaries_in_and_out(randomised, images, assert_equal):
    first, second = keras.Input((4,), name="b"), keras.Input((4,), name="a")
    x = layers.BatchNormalization()(layers.Dense(5)(first))
    y = layers.BatchNormalization()(layers.Dense(2)(second))
    original = randomised(
        keras.Model({"b": first, "a": second}, {"z": x, "y": y})
    )
    x = {"a": images(4, 4), "b": images(4, 4) + 1}
    assert set(fold(original)(x)) == {"z", "y"}
    assert_equal(original, fold(original), x)


def test_cut_at_the_tap(randomised, images, watched, bound):
    original = watched(randomised(zoo.resnet8()))
    folded = fold(original, keep=[0])
    assert folded.layers[-1].name == "stage3"
    x = images(4, 32, 32, 3)
    features = folded(x)  # Keras unwraps a list of one
    assert relative_error(original(x, training=False)[0], features) <= bound


def test_what_is_dropped_no_longer_stops_a_fold(
    randomised, images, kinds, bound
):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    # The norm is not the only one that sees the convolution.
    outputs = [layers.BatchNormalization()(x), x]
    original = randomised(keras.Model(image, outputs))
    folded = fold(original, keep=[0])
    assert kinds(folded) == ["InputLayer", "Conv2D"]
    randomised(original, seed=1)
    refold(folded, original, keep=[0])
    x = images(4, 8, 8, 3)
    found = folded(x)
    assert relative_error(original(x, training=False)[0], found) <= bound


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_refold_follows_the_original(dtype, randomised, images):
    original = randomised(zoo.wide_resnet(10, 1))
    folded = fold(original, dtype)
    before = folded.variables
    x = images(4, 32, 32, 3)
    old = np.array(folded(x))
    randomised(original, seed=1)
    for weight in original.trainable_weights[:3]:
        weight.assign(weight * 1.5)
    refold(folded, original)
    assert all(a is b for a, b in zip(before, folded.variables, strict=True))
    np.testing.assert_array_equal(folded(x), fold(original, dtype)(x))
    assert relative_error(old, folded(x)) > 0.01


def test_refold_refuses_another_network(one_conv):
    with pytest.raises(InputError, match="whose layers are others"):
        refold(fold(one_conv()), zoo.resnet8())


def contents(model, path):
    """Hashes of a saved model's files, but for the date of saving."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name != "metadata.json"
        }


def operations(model):
    for layer in model._flatten_layers():
        yield layer
        yield from getattr(layer, "_operations", ())


def test_the_original_is_left_alone(tmp_path, randomised, watched):
    teacher = randomised(zoo.resnet8())
    teacher.get_layer("stem_conv").trainable = False
    original = watched(teacher)

    def state():
        return (
            contents(teacher, tmp_path / "a.keras"),
            [v.trainable for v in teacher.variables],
            [len(op._inbound_nodes) for op in operations(original)],
            [len(op._outbound_nodes) for op in operations(original)],
        )

    before = state()
    folded = fold(original)
    refold(folded, original)
    assert state() == before
    theirs = {id(v) for v in teacher.variables}
    assert theirs.isdisjoint(id(v) for v in folded.variables)
    assert not folded.trainable_variables
