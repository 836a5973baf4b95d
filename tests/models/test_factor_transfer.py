"""The flagship: construction, files, combinations, one-sided sizes."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft import transfers


def compiled(model):
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def trained_paraphraser(rate):
    layer = Paraphraser(rate)
    layer.trained = True
    return layer


def test_a_saved_file_is_complete_and_continues_bit_for_bit(
    network, paraphraser, batch, tmp_path
):
    kd = transfers.SoftTargets(temperature=2.0, beta=0.5)
    model = FactorTransfer(
        network(8),
        network(4),
        paraphraser,
        beta=40.0,
        p=2,
        also=[kd],
        reduction="relative",
    )
    compiled(model).fit(*batch, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.paraphraser.trained
    assert float(loaded.beta) == 40.0 and loaded.factor.p == 2
    assert loaded.factor.reduction == "relative"
    arguments = {"epochs": 2, "shuffle": False, "verbose": 0}
    expected = model.fit(*batch, **arguments).history
    assert loaded.fit(*batch, **arguments).history == expected
    for one, other in zip(
        model.student.variables, loaded.student.variables, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_weight_checkpoints_do_not_carry_the_teacher(
    network, paraphraser, batch, tmp_path
):
    import h5py

    sizes = []
    for channels in (8, 64):
        layer = trained_paraphraser(4 / channels)
        model = FactorTransfer(network(channels), network(4), layer)
        path = tmp_path / f"{channels}.weights.h5"
        compiled(model).save_weights(path)
        names = []
        with h5py.File(path) as file:
            file.visit(names.append)
        assert not [name for name in names if "teacher" in name]
        sizes.append(names)
    assert sizes[0] == sizes[1]


def test_the_student_file_needs_nothing_of_ours(
    network, paraphraser, batch, tmp_path
):
    student = network(4)
    alone = tmp_path / "alone.keras"
    student.save(alone)
    model = compiled(FactorTransfer(network(8), student, paraphraser))
    model.fit(*batch, verbose=0)
    path = tmp_path / "student.keras"
    model.student.save(path)
    assert abs(path.stat().st_size - alone.stat().st_size) < 1000
    np.save(tmp_path / "images.npy", batch[0])
    np.save(tmp_path / "expected.npy", student.predict(batch[0], verbose=0))
    code = (
        "import sys, numpy as np, keras\n"
        "model = keras.models.load_model(sys.argv[1], safe_mode=True)\n"
        "found = model.predict(np.load(sys.argv[2]), verbose=0)\n"
        "np.testing.assert_allclose(found, np.load(sys.argv[3]), atol=1e-6)\n"
        "assert 'keras_ft' not in {n.split('.')[0] for n in sys.modules}\n"
    )
    arguments = [path, tmp_path / "images.npy", tmp_path / "expected.npy"]
    subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        check=True,
        cwd=tmp_path,
    )


def test_several_taps_each_with_its_own_rate_and_beta(network, batch):
    second = transfers.FactorMatch(
        trained_paraphraser(2.0),
        beta=7.0,
        teacher_layer_name="conv",
        student_layer_name="conv",
        name="early_factor",
    )
    attention = transfers.AttentionTransfer(beta=100.0)
    model = FactorTransfer(
        network(8),
        network(4),
        trained_paraphraser(0.5),
        also=[second, attention],
    )
    assert model.translator.channels == 4
    assert second.translator.channels == 16
    logs = compiled(model).fit(*batch, verbose=0).history
    total = (
        logs["task_loss"][0]
        + 500 * logs["factor_loss"][0]
        + 7 * logs["early_factor_loss"][0]
        + 100 * logs["attention_loss"][0]
    )
    assert logs["loss"][0] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("teacher", "student"), [(1, 2), (2, 1)])
def test_larger_maps_are_pooled_to_the_smaller(
    network, paraphraser, batch, teacher, student
):
    model = FactorTransfer(
        network(8, stride=teacher), network(4, stride=student), paraphraser
    )
    assert model.factor.size == (4, 4)
    logs = compiled(model).fit(*batch, verbose=0).history
    assert 0 < logs["factor_loss"][0] < 2 / np.sqrt(4 * 4 * 4)


def test_maps_that_cross_are_refused(paraphraser):
    def classifier(height, width):
        image = keras.Input((8, 8, 3))
        kernel = (9 - height, 9 - width)
        x = keras.layers.Conv2D(8, kernel, name="features")(image)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(image, keras.layers.Dense(4)(x))

    with pytest.raises(InputError, match="larger|larg"):
        FactorTransfer(classifier(8, 2), classifier(2, 8), paraphraser)


def test_nested_backbones_teach_and_learn(network, paraphraser, batch):
    def wrapped(channels):
        inner = network(channels, name="inner")
        backbone = keras.Model(
            inner.input, inner.get_layer("features").output, name="backbone"
        )
        image = keras.Input((8, 8, 3))
        x = keras.layers.GlobalAveragePooling2D()(backbone(image))
        return keras.Model(image, keras.layers.Dense(4)(x))

    student = wrapped(4)
    model = FactorTransfer(
        wrapped(8),
        student,
        paraphraser,
        teacher_layer_name="backbone/features",
        student_layer_name="backbone/features",
    )
    before = [np.array(v) for v in student.trainable_variables]
    compiled(model).fit(*batch, verbose=0)
    for old, new in zip(before, student.trainable_variables, strict=True):
        assert not np.array_equal(old, new)


@pytest.fixture
def of_phase_1(network, batch, tmp_path):
    """A teacher and its paraphraser, both read from files."""
    teacher, layer = network(8), Paraphraser(0.5)
    phase1 = ParaphraserTrainer(teacher, layer)
    phase1.compile("sgd")
    phase1.fit(batch[0], verbose=0)
    saved = [teacher, keras.Sequential([keras.Input((8, 8, 8)), layer])]
    loaded = []
    for model in saved:
        model.save(tmp_path / "model.keras")
        loaded.append(keras.models.load_model(tmp_path / "model.keras"))
    return loaded[0], loaded[1].layers[-1]


def test_a_paraphraser_belongs_to_its_teacher(network, batch, of_phase_1):
    teacher, layer = of_phase_1
    compiled(FactorTransfer(teacher, network(4), layer)).fit(*batch, verbose=0)
    # As many channels, and a weight that differs in the last bit.
    weights = teacher.get_weights()
    weights[0].flat[0] = np.nextafter(weights[0].flat[0], np.float32(9))
    teacher.set_weights(weights)
    model = compiled(FactorTransfer(teacher, network(4), layer))
    before = [np.array(v) for v in model.student.variables]
    with pytest.raises(InputError, match="another teacher or tap"):
        model.fit(*batch, verbose=0)
    for old, new in zip(before, model.student.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    layer.trained_on = None
    model.fit(*batch, verbose=0)


def test_a_paraphraser_belongs_to_its_tap(network, batch, of_phase_1):
    teacher, layer = of_phase_1
    # Before and after the activation there are as many channels.
    model = FactorTransfer(
        teacher, network(4), layer, teacher_layer_name="conv"
    )
    with pytest.raises(InputError, match="another teacher or tap"):
        compiled(model).fit(*batch, verbose=0)
