"""With beta=0 a distiller is `student.fit()`, bit for bit."""

import keras
import numpy as np
import pytest

from keras_ft import CoupledSGD

OPTIMIZERS = {
    "SGD": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "CoupledSGD": lambda: CoupledSGD(0.1, momentum=0.9, weight_decay=1e-3),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.01),
    "Muon": lambda: keras.optimizers.Muon(0.01),
}
cell = pytest.mark.cell


@pytest.fixture
def both(network, build, compiled, batch):
    """Trains the student alone, then with beta=0; 51 steps each."""

    def train(optimizer, student_arguments=None, **kwargs):
        arguments = {"l2": 1e-3, "dropout": 0.3, **(student_arguments or {})}
        student = network(4, **arguments)
        alone = keras.models.clone_model(student)
        alone.set_weights(student.get_weights())
        losses = []
        wrapper = build(student, beta=0.0, acceleration="none")
        for model in (alone, wrapper):
            compiled(model, optimizer=OPTIMIZERS[optimizer]())
            history = model.fit(
                *batch,
                batch_size=8,
                epochs=17,
                shuffle=False,
                verbose=0,
                **kwargs,
            )
            losses.append(history.history["loss"])
        return alone, student, *losses

    return train


@cell("beta=0 equals student.fit()")
@cell("regularizers and dropout")
@cell("sample_weight")
@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param("SGD", marks=cell("SGD and CoupledSGD")),
        pytest.param("CoupledSGD", marks=cell("SGD and CoupledSGD")),
        pytest.param("AdamW", marks=[cell("AdamW"), pytest.mark.long]),
        pytest.param("Muon", marks=[cell("Muon"), pytest.mark.long]),
    ],
)
def test_beta_zero_with_sample_weights(both, values, same, optimizer):
    weights = np.linspace(0.0, 2.0, 24).astype("float32")
    alone, student, *losses = both(optimizer, sample_weight=weights)
    same(values(alone), values(student))
    assert losses[0] == losses[1]


@cell("beta=0 equals student.fit()")
@cell("class_weight")
def test_beta_zero_with_class_weights(both, values, same):
    weights = {0: 0.0, 1: 0.5, 2: 1.0, 3: 2.5}
    alone, student, *losses = both("SGD", class_weight=weights)
    same(values(alone), values(student))
    assert losses[0] == losses[1]
