"""Files of every kind of output: softmax, sigmoid, per pixel, several."""

import zipfile

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_ft import InputError
from keras_ft.export import ParityError
from keras_ft.export import bundle
from keras_ft.export import run_in_litert
from keras_ft.export import to_tflite
from keras_ft.export.parity import check_parity
from keras_ft.export.parity import check_values

# A seed of its own: the default one is drawn when this file is imported.
SPREAD = {"kernel_initializer": keras.initializers.RandomNormal(0, 4.0, seed=3)}


def trunk():
    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3), name="pixels")
    x = layers.Conv2D(16, 3, strides=2, padding="same", name="conv")(image)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    return image, layers.Conv2D(16, 3, padding="same", activation="relu")(x)


def labeller(count, activation=None):
    image, x = trunk()
    x = layers.GlobalAveragePooling2D()(x)
    head = layers.Dense(count, activation=activation, **SPREAD)
    return keras.Model(image, head(x), name="labeller")


def segmenter(activation=None):
    image, x = trunk()
    x = layers.UpSampling2D(2)(x)
    head = layers.Conv2D(3, 1, activation=activation, **SPREAD)
    return keras.Model(image, head(x))


def detector(kind=dict):
    image, x = trunk()
    scores = layers.Conv2D(5, 1, activation="softmax", name="a", **SPREAD)(x)
    boxes = layers.Conv2D(4, 1, name="boxes")(x)
    count = layers.Dense(1, name="count")(layers.GlobalAveragePooling2D()(x))
    outputs = [scores, boxes, count]
    if kind is dict:
        outputs = {"scores": scores, "boxes": boxes, "count": count}
    return keras.Model(image, outputs)


@pytest.fixture
def scaled(images, normalization):
    """The pictures as the students take them, to the last bit."""
    scale, shift = normalization.scale_and_shift()
    return np.float32(images) * scale + shift


def signature(path):
    from ai_edge_litert.interpreter import Interpreter

    (found,) = Interpreter(str(path)).get_signature_list().items()
    return found[0], sorted(found[1]["outputs"])


@pytest.mark.parametrize(
    ("make", "activation", "name"),
    [
        (lambda: labeller(5, "softmax"), None, "softmax"),
        (lambda: labeller(1, "sigmoid"), None, "sigmoid"),
        (lambda: labeller(1), None, "sigmoid"),
        (lambda: labeller(4, "sigmoid"), None, "sigmoid"),
        (lambda: labeller(4), "sigmoid", "sigmoid"),
        (lambda: segmenter("softmax"), None, "softmax"),
        (lambda: segmenter("sigmoid"), None, "sigmoid"),
        (segmenter, "softmax", "softmax"),
    ],
)
def test_probabilities_are_made_once(
    make, activation, name, images, normalization, scaled, tmp_path
):
    student = make()
    path = tmp_path / "student.tflite"
    result = to_tflite(
        student,
        path,
        samples=images,
        normalization=normalization,
        activation=activation,
    )
    expected = student(scaled, training=False)
    if student.layers[-1].activation is keras.activations.linear:
        expected = getattr(ops, name)(expected)
    received = run_in_litert(path, images)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    assert np.ptp(received) > 0.1
    assert result.agreement == 1.0 and result.outputs[0].activation == name
    per_pixel = received.ndim == 4
    assert signature(path) == (
        "predict" if per_pixel else "classify",
        ["probabilities"],
    )


def test_what_the_compiled_loss_says_is_taken(images, normalization, tmp_path):
    for loss, activation in (
        (keras.losses.BinaryCrossentropy(from_logits=True), "sigmoid"),
        (keras.losses.CategoricalCrossentropy(from_logits=True), "softmax"),
        ("mse", None),
    ):
        student = labeller(4)
        student.compile("sgd", loss)
        result = to_tflite(
            student,
            tmp_path / "s.tflite",
            samples=images,
            normalization=normalization,
        )
        assert result.outputs[0].activation == activation
        assert (result.agreement is None) == (activation is None)


@pytest.mark.parametrize("quantization", ["dynamic", "int8", "int8_io"])
def test_labels_of_their_own_in_8_bits(
    quantization, images, normalization, scaled, tmp_path
):
    student = labeller(4, "sigmoid")
    probabilities = ops.convert_to_numpy(student(scaled, training=False))
    labels = (probabilities > 0.5).astype("float32")
    labels[:6] = 1 - labels[:6]
    result = to_tflite(
        student,
        tmp_path / "s.tflite",
        quantization,
        calibration=images,
        normalization=normalization,
        labels=labels,
        class_names=["cat", "dog", "out | doors", "night"],
    )
    assert result.keras_accuracy == 1 - 6 / len(images)
    assert result.agreement >= 0.95
    assert result.accuracy == pytest.approx(result.keras_accuracy, abs=0.06)
    received = run_in_litert(result.path, images)
    error = np.abs(received - probabilities).max()
    assert error == pytest.approx(result.max_error, abs=1e-6) and error < 0.2
    assert received.sum(axis=1).max() > 1.1
    with zipfile.ZipFile(result.path) as archive:
        names = archive.read("labels.txt").decode().splitlines()
    assert names == ["cat", "dog", "out | doors", "night"]


def test_one_output_is_named_after_its_yes(images, normalization, tmp_path):
    student, path = labeller(1, "sigmoid"), tmp_path / "s.tflite"
    probabilities = student(np.float32(images) / 127.5 - 1, training=False)
    labels = ops.convert_to_numpy(probabilities)[:, 0] > 0.5
    assert 0 < labels.sum() < len(labels)
    for names in (["fine", "broken"], ["broken"]):
        result = to_tflite(
            student,
            path,
            samples=images,
            normalization=normalization,
            labels=labels.astype("int64"),
            class_names=names,
        )
        assert result.accuracy == 1.0
        with zipfile.ZipFile(path) as archive:
            assert archive.read("labels.txt") == b"broken\n"


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_a_class_for_each_pixel(
    quantization, images, normalization, scaled, tmp_path
):
    student = segmenter("softmax")
    probabilities = ops.convert_to_numpy(student(scaled, training=False))
    labels = probabilities.argmax(axis=-1)
    labels[:, 0] = (labels[:, 0] + 1) % 3
    result = to_tflite(
        student,
        tmp_path / "s.tflite",
        quantization,
        calibration=images,
        normalization=normalization,
        labels=labels,
    )
    assert result.keras_accuracy == 15 / 16
    received = run_in_litert(result.path, images)
    assert received.shape == (len(images), 16, 16, 3)
    same = received.argmax(axis=-1) == probabilities.argmax(axis=-1)
    assert result.agreement == pytest.approx(same.mean(), abs=1e-3)
    assert result.agreement > (0.9999 if quantization == "none" else 0.95)


@pytest.mark.parametrize("kind", [dict, list])
@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_several_outputs_have_their_names(
    kind, quantization, images, normalization, scaled, tmp_path
):
    student = detector(kind)
    result = to_tflite(
        student,
        tmp_path / "s.tflite",
        quantization,
        calibration=images,
        normalization=normalization,
    )
    expected = student(scaled, training=False)
    scores = "scores" if kind is dict else "a"
    names = (
        ["boxes", "count", "scores"]
        if kind is dict
        else ["a", "boxes", "count"]
    )
    assert signature(result.path) == ("predict", names)
    if kind is list:
        expected = dict(zip(["a", "boxes", "count"], expected, strict=True))
    received = run_in_litert(result.path, images)
    for output in result.outputs:
        ours = ops.convert_to_numpy(expected[output.name])
        theirs = received[output.name]
        assert theirs.shape == ours.shape
        extent = np.ptp(ours) if output.activation is None else 1.0
        error = np.abs(theirs - ours).max() / extent
        assert error == pytest.approx(output.max_error, rel=1e-3, abs=1e-7)
        assert error < (1e-4 if quantization == "none" else 0.3)
        if output.name == scores:
            assert output.agreement == result.agreement > 0.95
        else:
            assert output.agreement is None and output.mean_error < 0.03


@pytest.mark.parametrize(
    ("make", "arguments", "fault"),
    [
        (lambda: labeller(5, "softmax"), {"activation": "sigmoid"}, "ends"),
        (lambda: labeller(1), {"activation": "softmax"}, "always 1"),
        (lambda: labeller(1, "softmax"), {}, "always 1"),
        (lambda: labeller(4), {"activation": "tanh"}, "Invalid `activation`"),
        (lambda: labeller(4), {"labels": np.eye(4)[[0] * 48]}, "a yes or no"),
        (detector, {"activation": "softmax"}, "boxes, count, scores"),
        (detector, {"activation": {"box": "linear"}}, "Invalid `activation`"),
        (detector, {"labels": np.zeros(48, int)}, "None for several outputs"),
        (detector, {"class_names": ["a"]}, "Invalid `class_names`"),
        (
            segmenter,
            {"activation": "softmax", "labels": np.zeros(48, int)},
            "16",
        ),
        (lambda: labeller(1), {"labels": np.full(48, 2)}, "in 0..1"),
    ],
)
def test_what_does_not_fit_the_outputs_is_refused(
    make, arguments, fault, images, tmp_path
):
    with pytest.raises(InputError, match=fault):
        to_tflite(make(), tmp_path / "s.tflite", samples=images, **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [segmenter, detector, lambda: labeller(1)])
def test_a_bundle_is_of_a_classifier(make, images, tmp_path):
    with pytest.raises(InputError, match="Invalid `student`"):
        bundle(make(), tmp_path / "b", samples=images, class_names=["a"])


def test_a_bundle_of_labels_of_their_own_is_refused(images, tmp_path):
    student = labeller(2, "sigmoid")
    with pytest.raises(InputError, match="to_tflite"):
        bundle(student, tmp_path / "b", samples=images, class_names=["a", "b"])


def test_wrong_values_are_refused():
    expected = np.random.default_rng(0).normal(size=(40, 4, 4, 2))
    extent = np.ptp(expected)
    mean, most = check_values(expected, expected + 0.01 * extent, "int8")
    assert mean == pytest.approx(0.01) and most == pytest.approx(0.01)
    with pytest.raises(ParityError) as caught:
        check_values(expected, expected + 0.01 * extent, "none")
    assert caught.value.metric == "max_error"
    wrong = expected.copy()
    wrong[7] += 2 * extent
    with pytest.raises(ParityError, match="sample is number 7") as caught:
        check_values(expected, wrong, "int8")
    assert caught.value.metric == "mean_error"
    wrong[3, 0, 0, 0] = np.nan
    with pytest.raises(ParityError, match="number 3") as caught:
        check_values(expected, wrong, "int8")
    assert caught.value.metric == "finite"


def test_wrong_sides_and_wrong_places_are_refused():
    rng = np.random.default_rng(0)
    expected = rng.uniform(0.6, 0.9, (50, 4))
    wrong = expected.copy()
    wrong[9, 2] = 0.4
    with pytest.raises(ParityError, match="number 9: Keras says 0"):
        check_parity(
            expected,
            wrong,
            "int8",
            min_agreement=1.0,
            activation="sigmoid",
        )
    places = np.tile([0.7, 0.3], (40, 3, 3, 1))
    wrong = places.copy()
    wrong[11, 1, 1] = [0.2, 0.8]
    agreement, _ = check_parity(places, wrong, "int8")
    assert agreement == pytest.approx(1 - 1 / 360)
    with pytest.raises(ParityError, match="sample is number 11"):
        check_parity(places, wrong, "int8", min_agreement=1.0)
