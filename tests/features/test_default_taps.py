"""The map that is tapped where none is named: the last learned one."""

import keras
import pytest
from keras import layers
from keras import ops

from keras_ft import InputError
from keras_ft import taps
from keras_ft import zoo
from keras_ft.features.taps import find_tap

SHAPE = (16, 16, 3)


def default(model):
    """The default's name, and that the table marks it and no other."""
    tap = find_tap(model, None, "teacher_layer")
    assert [t.name for t in taps(model) if t.default] == [tap.name]
    return tap.name


def conv(x, name, channels=4, **options):
    return layers.Conv2D(channels, 3, padding="same", name=name, **options)(x)


def head(x, **options):
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Dense(4, **options)(layers.Dropout(0.2)(x))


def body(x):
    x = layers.BatchNormalization()(conv(x, "conv1", strides=2))
    x = layers.ReLU(name="relu1")(x)
    x = layers.BatchNormalization()(conv(x, "conv2"))
    return layers.ReLU(name="relu2")(x)


def flip(x):
    return layers.RandomFlip()(x)


@pytest.mark.parametrize(
    "last",
    [
        layers.Dropout(0.1, name="last"),
        layers.SpatialDropout2D(0.1),
        layers.GaussianNoise(0.1),
        layers.MaxPooling2D(),
        layers.AveragePooling2D(2),
        layers.ZeroPadding2D(),
        layers.UpSampling2D(),
        layers.Resizing(4, 4),
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.Rescaling(2.0),
        layers.Identity(),
        layers.Activation("linear"),
        type("Own", (layers.Dropout,), {})(0.1),
        lambda x: ops.max_pool(x, 2),
        lambda x: ops.image.resize(x, (4, 4)),
    ],
)
def test_what_only_passes_maps_on_is_none(last):
    image = keras.Input(SHAPE)
    assert default(keras.Model(image, head(last(body(image))))) == "relu2"


@pytest.mark.parametrize(
    "last",
    [
        lambda x: conv(x, "last", activation="relu"),
        lambda x: conv(x, "last"),
        lambda x: layers.PReLU(name="last")(conv(x, "before")),
        lambda x: layers.LayerNormalization(name="last")(conv(x, "before")),
        lambda x: layers.Add(name="last")([x, conv(x, "before")]),
        lambda x: layers.Concatenate(name="last")([x, conv(x, "before")]),
        lambda x: ops.silu(conv(x, "before")),
        lambda x: layers.ReLU(name="last")(
            layers.MaxPooling2D()(conv(x, "before"))
        ),
    ],
)
def test_the_last_is_after_its_activation(last):
    image = keras.Input(SHAPE)
    x = last(body(image))
    name = x._keras_history.operation.name
    assert default(keras.Model(image, head(x))) == name


def test_a_gate_or_a_branch_beside_the_map_is_none():
    image = keras.Input(SHAPE)
    x = body(image)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    model = keras.Model(image, head(x))
    assert default(model) == "gated"
    # Branches that end in one position each, as InceptionV3's at 96 pixels.
    branches = [
        layers.Conv2D(3, 8, activation="relu")(conv(x, name, activation="relu"))
        for name in ("branch1", "branch2")
    ]
    x = layers.Concatenate()(branches)
    assert default(keras.Model(image, head(x))) == "gated"
    # A head that also looks at an earlier map.
    early = layers.GlobalAveragePooling2D()(model.get_layer("relu1").output)
    late = layers.GlobalAveragePooling2D()(model.get_layer("gated").output)
    outputs = layers.Dense(4)(layers.Concatenate()([early, late]))
    assert default(keras.Model(model.inputs, outputs)) == "gated"


@pytest.mark.parametrize(
    "ending",
    [
        lambda x: conv(x, "logits", 2),
        lambda x: conv(x, "masks", 2, activation="softmax"),
        lambda x: layers.Softmax()(conv(x, "logits", 2)),
        lambda x: layers.Activation("sigmoid")(conv(x, "logits", 1)),
        lambda x: ops.sigmoid(layers.Conv2DTranspose(1, 2, strides=2)(x)),
        lambda x: layers.UpSampling2D(2)(conv(x, "logits", 2)),
        lambda x: layers.Resizing(16, 16)(
            layers.Softmax()(layers.Dense(2, name="logits")(x))
        ),
    ],
)
def test_a_prediction_for_each_pixel_is_none(ending):
    image = keras.Input(SHAPE)
    down = body(image)
    low = conv(layers.MaxPooling2D()(down), "low", activation="relu")
    up = layers.Concatenate(name="skip")([layers.UpSampling2D()(low), down])
    up = conv(up, "last", activation="relu")
    assert default(keras.Model(image, ending(up))) == "last"


def test_a_network_without_its_head_ends_in_features():
    image = keras.Input(SHAPE)
    x = body(image)
    assert default(keras.Model(image, x)) == "relu2"
    assert default(keras.Model(image, layers.MaxPooling2D()(x))) == "relu2"
    x = layers.LayerNormalization(name="norm")(conv(x, "last"))
    assert default(keras.Model(image, x)) == "norm"


def test_of_several_outputs_the_deepest_decides():
    image = keras.Input(SHAPE)
    shared = body(image)
    outputs = [head(shared, name="kind"), head(shared, name="size")]
    assert default(keras.Model(image, outputs)) == "relu2"
    named = {"kind": outputs[0], "size": outputs[1]}
    assert default(keras.Model(image, named)) == "relu2"
    # A classifier on the way, and one at the end.
    last = conv(conv(shared, "conv3"), "conv4", activation="relu")
    aside = head(conv(shared, "aside", activation="relu"))
    for outputs in ([aside, head(last)], [head(last), aside]):
        assert default(keras.Model(image, outputs)) == "conv4"


def test_what_no_weights_made_is_none():
    image = keras.Input(SHAPE)
    for first in (
        flip,
        layers.Rescaling(1 / 255),
        layers.Normalization(mean=[1.0] * 3, variance=[1.0] * 3),
        layers.BatchNormalization(),
        lambda x: x / 255.0 - 0.5,
        layers.ZeroPadding2D(),
        layers.AveragePooling2D(2),
    ):
        x = layers.Flatten()(first(image))
        model = keras.Model(image, layers.Dense(2)(x), name="flat")
        with pytest.raises(InputError) as caught:
            default(model)
        message = str(caught.value)
        assert "model 'flat' has no spatial feature map" in message
        assert "\nNo default: model 'flat' has no" in str(taps(model))
        assert "no learned layer made those it has" in message
        # One sentence that says what was looked for.
        assert message.count(". ") == 0 and "tokens (batch, N" in message


def test_frozen_weights_were_learned():
    image = keras.Input(SHAPE)
    model = keras.Model(image, head(body(layers.Rescaling(1 / 255)(image))))
    model.trainable = False
    assert default(model) == "relu2"


def test_a_nested_backbone_in_a_users_model():
    image = keras.Input(SHAPE)
    backbone = keras.Model(image, body(image), name="backbone")
    image = keras.Input(SHAPE)
    x = layers.Rescaling(1 / 127.5, -1.0)(flip(image))
    model = keras.Model(image, head(backbone(x, training=False)))
    assert default(model) == "backbone/relu2"
    sequential = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.RandomZoom(0.1),
            layers.Rescaling(1 / 255),
            backbone,
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    assert default(sequential) == "backbone/relu2"
    image = keras.Input(SHAPE)
    outer = keras.Model(image, layers.Softmax()(model(image)))
    assert default(outer) == f"{model.name}/backbone/relu2"
    augment = keras.Sequential([keras.Input(SHAPE), layers.RandomFlip()])
    image = keras.Input(SHAPE)
    assert default(keras.Model(image, head(body(augment(image))))) == "relu2"


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "expected", "channels"),
    [
        ("ResNet50V2", "post_relu", 2048),
        ("EfficientNetB0", "top_activation", 1280),
        ("EfficientNetV2B0", "top_activation", 1280),
        ("ConvNeXtTiny", None, 768),
        ("DenseNet121", "relu", 1024),
        ("MobileNetV2", "out_relu", 1280),
        ("MobileNetV3Small", None, 576),
        ("MobileNetV3Large", None, 960),
        ("VGG16", "block5_conv3", 512),
        ("InceptionV3", "mixed7", 768),
        ("Xception", "block14_sepconv2_act", 2048),
        ("NASNetMobile", None, 1056),
    ],
)
def test_applications_flat_and_nested(name, expected, channels):
    make = getattr(keras.applications, name)
    for top in (True, False):
        backbone = make(weights=None, include_top=top, input_shape=(96, 96, 3))
        tap = find_tap(backbone, None, "teacher_layer")
        assert tap.shape[2] == channels
        assert expected is None or tap.name == expected
    image = keras.Input((96, 96, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(flip(image))
    model = keras.Model(image, head(backbone(x, training=False)))
    assert default(model) == f"{backbone.name}/{tap.name}"


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2_small", "vgg8"])
def test_the_zoos_defaults_are_what_they_were(name):
    model = zoo.build(name, classes=4, input_shape=(32, 32, 3))
    spatial = [tap for tap in taps(model) if tap.shape[:2] != (1, 1)]
    assert default(model) == spatial[-1].name
