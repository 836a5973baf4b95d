"""Copies and files of a distiller go on where the original stood."""

import h5py
import keras
import numpy as np
import pytest

from keras_ft import Distiller
from keras_ft import transfers

ARGUMENTS = {"batch_size": 8, "shuffle": False, "verbose": 0}


@pytest.fixture
def model(network, build, compiled):
    # No dropout: Keras keeps the state of its random numbers in no file.
    student = network(4, l2=1e-3)
    also = [transfers.SoftTargets(temperature=3.0, beta=0.5)]
    optimizer = keras.optimizers.AdamW(0.01)
    return compiled(
        build(student, also=also), optimizer=optimizer, metrics=["accuracy"]
    )


def logs_of(model, batch):
    return model.evaluate(*batch, return_dict=True, verbose=0)


@pytest.mark.cell("clone_model and from_config")
@pytest.mark.parametrize("how", ["clone_model", "from_config"])
def test_a_copy_has_the_settings_and_takes_the_weights(
    model, compiled, batch, values, same, how
):
    if how == "clone_model":
        copy = keras.models.clone_model(model)
    else:
        copy = type(model).from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert copy.student is not model.student
    assert copy.teacher is not model.teacher
    for one, other in zip(copy.variables, model.variables, strict=True):
        assert one is not other
        # A copy: JAX frees the arrays that a training step was given.
        one.assign(np.array(keras.ops.convert_to_numpy(other)))
    compiled(copy, optimizer=keras.optimizers.AdamW(0.01), metrics=["accuracy"])
    copy.paraphraser.trained = True
    assert logs_of(copy, batch) == logs_of(model, batch)
    for one in (copy, model):
        one.fit(*batch, epochs=2, **ARGUMENTS)
    same(values(copy), values(model))


@pytest.mark.cell(".keras files")
def test_a_loaded_file_trains_on_as_if_never_saved(
    model, batch, values, same, tmp_path
):
    model.fit(*batch, epochs=2, **ARGUMENTS)
    model.beta = 3.0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    same(values(model), values(loaded))
    same(values(model.teacher), values(loaded.teacher))
    same(values(model.optimizer), values(loaded.optimizer))
    assert float(loaded.beta) == 3.0
    assert logs_of(model, batch) == logs_of(loaded, batch)
    histories = [
        one.fit(*batch, epochs=2, **ARGUMENTS).history
        for one in (model, loaded)
    ]
    assert histories[0] == histories[1]
    same(values(model), values(loaded))
    same(values(model.optimizer), values(loaded.optimizer))


@pytest.mark.cell(".keras files")
def test_a_distiller_of_several_terms_is_loaded_whole(
    network, compiled, batch, tmp_path
):
    terms = [transfers.Hint(beta=2.0), transfers.AttentionTransfer(beta=3.0)]
    model = Distiller(network(8), network(4), terms, task_weight=0.25)
    compiled(model).fit(*batch, **ARGUMENTS)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.task_weight == 0.25
    assert logs_of(loaded, batch) == logs_of(model, batch)


@pytest.mark.cell("weights-only files")
def test_weights_only_files_hold_what_trains_and_no_teacher(
    model, build, network, batch, values, same, tmp_path
):
    model.fit(*batch, **ARGUMENTS)
    file = tmp_path / "model.weights.h5"
    model.save_weights(file)
    student = network(4, l2=1e-3)
    other = build(student, seed=9, also=[transfers.SoftTargets(beta=0.5)])
    teacher = values(other.teacher)
    assert not np.array_equal(teacher[0], values(model.teacher)[0])
    other.load_weights(file)
    same(teacher, values(other.teacher))
    for part in ("student", "translator", "paraphraser"):
        same(values(getattr(model, part)), values(getattr(other, part)))
    shapes = []
    with h5py.File(file) as content:
        content.visititems(
            lambda _, item: shapes.append(getattr(item, "shape", None))
        )
    assert student.get_layer("conv").kernel.shape in shapes
    assert model.teacher.get_layer("conv").kernel.shape not in shapes
