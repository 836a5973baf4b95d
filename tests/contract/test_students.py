"""Students of every kind that Keras knows."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft import Distiller
from keras_ft import InputError
from keras_ft import transfers

ARGUMENTS = {"batch_size": 8, "shuffle": False, "verbose": 0}


def backbone(name="backbone", channels=4):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(channels, 3, padding="same", name="conv")(image)
    return keras.Model(image, layers.ReLU(name="features")(x), name=name)


def nested():
    image = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(backbone()(image))
    return keras.Model(image, layers.Dense(4, name="head")(x))


def nested_twice():
    image = keras.Input((8, 8, 3))
    outer = keras.Model(image, backbone()(image), name="outer")
    x = layers.GlobalAveragePooling2D()(outer(image))
    return keras.Model(image, layers.Dense(4, name="head")(x))


def sequential():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", name="conv"),
            layers.ReLU(name="features"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, name="head"),
        ]
    )


def sequential_of_models():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            backbone(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, name="head"),
        ]
    )


@keras.saving.register_keras_serializable(package="contract")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = backbone()
        self.pool = layers.GlobalAveragePooling2D()
        self.head = layers.Dense(4, name="head")

    def build(self, input_shape):
        self.head.build((None, 4))
        super().build(input_shape)

    def call(self, x):
        return self.head(self.pool(self.inside(x)))


@pytest.mark.parametrize(
    ("make", "tap"),
    [
        pytest.param(
            nested,
            "backbone/features",
            marks=pytest.mark.cell("nested students"),
        ),
        pytest.param(
            nested_twice,
            "outer/backbone/features",
            marks=pytest.mark.cell("nested students"),
        ),
        pytest.param(
            sequential,
            "features",
            marks=pytest.mark.cell("Sequential students"),
        ),
        pytest.param(
            sequential_of_models,
            "backbone/features",
            marks=pytest.mark.cell("nested students"),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
def test_the_default_tap_is_found_inside_and_trains_the_student(
    build, batch, same, make, tap
):
    def train(**kwargs):
        keras.utils.set_random_seed(3)
        student = make()
        before = [np.array(w) for w in student.get_weights()]
        model = build(student, **kwargs)
        # Without a loss only the factor term trains, through the tap.
        model.compile(keras.optimizers.SGD(0.1))
        model.train_on_batch(batch[0])
        return student, before, student.get_weights()

    student, before, after = train()
    named = train(student_layer_name=tap)
    same(after, named[2])
    moved = {
        "/".join(variable.path.split("/")[-2:]): not np.array_equal(old, new)
        for variable, old, new in zip(
            student.weights, before, after, strict=True
        )
    }
    assert moved["conv/kernel"] and moved["conv/bias"]
    assert not moved["head/kernel"]


@pytest.mark.cell("subclassed students")
@pytest.mark.parametrize("how", ["called", "built"])
def test_a_subclassed_student_learns_from_outputs(
    network, compiled, batch, values, same, how, tmp_path
):
    student = Subclassed()
    if how == "called":
        student(batch[0])
    else:
        student.build((None, 8, 8, 3))
    model = Distiller(network(8), student, [transfers.SoftTargets()])
    compiled(model)
    before = values(student)
    logs = model.fit(*batch, epochs=8, **ARGUMENTS).history
    assert logs["loss"][-1] < logs["loss"][0]
    assert logs["soft_target_loss"][0] > 0
    assert not any(map(np.array_equal, before, values(student)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    same(values(model), values(loaded))
    np.testing.assert_array_equal(
        loaded.predict(batch[0], verbose=0),
        student.predict(batch[0], verbose=0),
    )


@pytest.mark.cell("subclassed students")
def test_features_of_a_subclassed_student_are_refused(build, batch):
    student = Subclassed()
    student(batch[0])
    with pytest.raises(InputError, match="Subclassed.*no graph") as caught:
        build(student)
    assert "Functional API" in str(caught.value)


@pytest.mark.cell("subclassed students")
def test_a_subclassed_student_of_other_classes_is_refused(network, batch):
    student = Subclassed()
    student(batch[0])
    with pytest.raises(InputError, match=r"outputs of shape \(4,\)"):
        Distiller(network(8, classes=7), student, [transfers.SoftTargets()])


@pytest.mark.cell("trainable changed between fits", "refused")
@pytest.mark.parametrize("how", ["fit", "train_on_batch"])
def test_a_trainable_flag_changed_after_training_began_is_explained(
    build, compiled, batch, values, same, how
):
    def train():
        if how == "fit":
            return model.fit(*batch, **ARGUMENTS)
        return model.train_on_batch(*batch)

    model = compiled(build())
    conv = model.student.get_layer("conv")
    for flag in (False, True):
        train()
        before = values(model)
        conv.trainable = flag
        with pytest.raises(InputError, match=r"conv/.*Call compile\(\) again"):
            train()
        same(before, values(model))
        kernel = np.array(conv.get_weights()[0])
        compiled(model)
        train()
        assert np.array_equal(kernel, conv.get_weights()[0]) != flag


@pytest.mark.cell("trainable changed between fits", "refused")
def test_a_flag_changed_between_compile_and_training_counts(
    build, compiled, batch
):
    model = compiled(build())
    conv = model.student.get_layer("conv")
    conv.trainable = False
    before = np.array(conv.get_weights()[0])
    model.fit(*batch, **ARGUMENTS)
    np.testing.assert_array_equal(before, conv.get_weights()[0])


@pytest.mark.cell("trainable changed between fits", "refused")
def test_layers_of_one_path_are_told_apart(build, compiled, batch):
    image = keras.Input((8, 8, 3))
    one, other = backbone("one"), backbone("other")
    x = layers.Add(name="features")([one(image), other(image)])
    x = layers.GlobalAveragePooling2D()(x)
    student = keras.Model(image, layers.Dense(4)(x))
    other.trainable = False
    model = compiled(build(student))
    model.train_on_batch(*batch)
    one.trainable, other.trainable = False, True
    with pytest.raises(InputError, match="conv/kernel"):
        model.train_on_batch(*batch)


def test_nothing_to_train_is_refused(network, compiled, batch):
    student = network(4)
    student.trainable = False
    model = Distiller(network(8), student, [transfers.SoftTargets()])
    with pytest.raises(InputError, match="without trainable weights"):
        compiled(model).fit(*batch, verbose=0)
