"""Students that a search must tell apart, or refuse."""

import keras
import keras_tuner
import pytest

import keras_ft
from keras_ft.errors import InputError
from keras_ft.tuner import SearchError

pytestmark = [
    pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:getName:DeprecationWarning"),
]


def student(hp=None, names=("first", "second"), penalty=None, frozen=False):
    image = keras.Input((28, 28, 1))
    x = image
    for name in names:
        layer = keras.layers.Conv2D(
            8, 3, strides=2, padding="same", kernel_regularizer=penalty
        )
        layer.trainable = not frozen
        x = keras.layers.ReLU(name=name)(layer(x))
    x = keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(10)(x))


def folder_of(model, **values):
    hp = keras_tuner.HyperParameters()
    hp.values |= {"rate": 0.5, **values}
    return model._trials.folder_of(model.prepare(), hp, "val_accuracy").path


def test_what_decides_how_a_student_trains_decides_its_folder(hypermodel):
    def folder(layer="second", **changes):
        model = hypermodel(
            student=lambda hp: student(hp, **changes), student_layer_name=layer
        )
        return folder_of(model)

    known = folder()
    assert folder() == known
    others = [
        folder(penalty=keras.regularizers.L2(1.0)),
        folder(frozen=True),
        folder("first"),
        # The same name, at another place.
        folder(names=("second", "first")),
    ]
    assert known not in others
    # In the last two it is the first map, whatever it is called.
    assert others[2] == others[3] and len(set(others)) == 3


def test_code_behind_a_parameter_decides_as_well(hypermodel):
    def model(penalty):
        def made(hp):
            deep = hp.Boolean("deep")
            return student(hp, penalty=penalty if deep else None)

        return hypermodel(student=made)

    mild, strong = (model(keras.regularizers.L2(x)) for x in (0.1, 10.0))
    assert folder_of(mild, deep=False) == folder_of(strong, deep=False)
    assert folder_of(mild, deep=True) != folder_of(strong, deep=True)


@pytest.mark.parametrize("name", ["rate", "learning_rate"])
def test_a_parameter_of_the_search_is_not_the_students(
    hypermodel, name, tmp_path
):
    def made(hp):
        hp.Choice(name, [0.1, 0.2])
        return student()

    with pytest.raises(InputError, match=name):
        hypermodel(student=made).prepare()
    assert not (tmp_path / "cache").exists()


def test_a_name_that_keras_numbers_is_refused(hypermodel, tmp_path):
    made = student()
    (name, *_) = (layer.name for layer in made.layers[1:])
    assert name.startswith("conv2d")
    model = hypermodel(student=lambda hp: student(), student_layer_name=name)
    with pytest.raises(InputError, match="numbers this student's layers"):
        model.prepare()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"student": "resnet9"}, "resnet9"),
        ({"student_layer_name": "featurez"}, "featurez"),
        ({"teacher_layer_name": "featurez"}, "featurez"),
    ],
)
def test_what_fails_in_every_trial_is_refused_at_once(
    hypermodel, tmp_path, changes, fault
):
    named = {"student": lambda hp: student()}
    with pytest.raises(InputError, match=fault):
        hypermodel(**(named | changes)).prepare()
    assert not (tmp_path / "cache").exists()


def test_a_search_stops_for_it(hypermodel, tmp_path):
    model = hypermodel(student_layer_name="featurez")
    tuner = keras_tuner.GridSearch(
        model, objective="val_accuracy", directory=tmp_path / "search"
    )
    with pytest.raises(SearchError, match="featurez"):
        tuner.search(verbose=0)
    assert not (tmp_path / "cache").exists()


def test_validation_on_the_test_images_is_refused(teacher):
    data = keras_ft.data.load(
        "fashion_mini", train_examples=128, validation_fraction=0
    )
    with pytest.raises(InputError, match="validation images that are the test"):
        keras_ft.tuner.FactorTransferHyperModel(
            teacher, "resnet8", data, "cache"
        )
