"""Phase 1 on two replicas."""

import contextlib

import keras
import pytest

from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer


@pytest.fixture
def train_paraphraser(network, images, values):
    def run(scope, **arguments):
        keras.utils.set_random_seed(0)
        with scope():
            # L2: |d| has a jump in its gradient.
            model = ParaphraserTrainer(
                network(8), Paraphraser(0.5), loss="l2", **arguments
            )
            model.compile(keras.optimizers.SGD(0.05, momentum=0.9))
        before = values(model.teacher.variables)
        history = model.fit(
            images[0], batch_size=8, epochs=3, shuffle=False, verbose=0
        )
        return model, history.history, before

    return run


@pytest.mark.cell("phase 1", where="MirroredStrategy")
@pytest.mark.parametrize(
    "acceleration", ["auto", pytest.param("none", marks=pytest.mark.long)]
)
def test_two_replicas_equal_one_device(
    train_paraphraser, strategy, images, values, gap, acceleration
):
    alone, alone_logs, _ = train_paraphraser(
        contextlib.nullcontext, acceleration=acceleration
    )
    both, both_logs, before = train_paraphraser(
        strategy.scope, acceleration=acceleration
    )
    weights = [values(m.paraphraser.variables) for m in (alone, both)]
    assert gap(*weights) <= 1e-6
    assert both_logs.keys() == {"loss", "variance_kept"}
    for name, expected in alone_logs.items():
        # A share of nearly 0 is the difference of two sums of about 1.
        near = 1e-6 if name == "variance_kept" else None
        close = pytest.approx(expected, rel=1e-5, abs=near)
        assert both_logs[name] == close, name
    assert both_logs["loss"][-1] < both_logs["loss"][0]
    assert both.paraphraser.trained
    arguments = {"batch_size": 8, "verbose": 0}
    (both_loss, both_kept), (loss, kept) = (
        model.evaluate(images[0], **arguments) for model in (both, alone)
    )
    assert both_loss == pytest.approx(loss, rel=1e-5)
    assert both_kept == pytest.approx(kept, abs=1e-6)
    both.predict(images[0], **arguments)
    assert gap(before, values(both.teacher.variables)) == 0


def test_a_paraphraser_from_outside_is_named(network, strategy):
    paraphraser = Paraphraser(0.5)
    paraphraser.build((None, 8, 8, 8))
    with strategy.scope():
        teacher = network(8)
        with pytest.raises(InputError, match=r"`paraphraser`.*with strategy"):
            ParaphraserTrainer(teacher, paraphraser)
        # One that has no weights yet gets them within the scope.
        ParaphraserTrainer(teacher, Paraphraser(0.5))
