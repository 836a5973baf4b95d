"""acceleration="auto" trains as Keras' own path does, and says what it did."""

import keras
import numpy as np
import pytest

from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft.acceleration import fused_norm
from keras_ft.acceleration.acceleration import Acceleration
from keras_ft.acceleration.flat_graph import NotFoldableError
from keras_ft.models import teacher_pass


def trained(network, batch, acceleration):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    paraphraser = Paraphraser(0.5)
    teacher, student = network(8), network(4)
    phase1 = ParaphraserTrainer(teacher, paraphraser, acceleration=acceleration)
    phase1.compile(keras.optimizers.SGD(0.05))
    phase1.fit(batch[0], batch_size=8, shuffle=False, verbose=0)
    model = FactorTransfer(
        teacher, student, paraphraser, beta=20.0, acceleration=acceleration
    )
    model.compile(
        keras.optimizers.SGD(0.02),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = model.fit(
        *batch, batch_size=8, epochs=5, shuffle=False, verbose=0
    ).history
    return model, history


@pytest.mark.parametrize("pays", [False, True])
def test_auto_trains_to_the_same_weights(network, batch, monkeypatch, pays):
    plain, plain_history = trained(network, batch, "none")
    monkeypatch.setattr(fused_norm, "is_faster", lambda dtype: pays)
    fast, fast_history = trained(network, batch, "auto")
    assert fast.accelerated["teacher"].startswith("batch normalization folded")
    assert ("fused" in fast.accelerated["student"].split(":")[0]) == pays
    assert plain.accelerated["teacher"].startswith("Keras' own path")
    for name, values in plain_history.items():
        assert fast_history[name] == pytest.approx(values, rel=1e-3), name
    for mine, theirs in zip(
        fast.student.get_weights(), plain.student.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_a_teacher_in_bfloat16_teaches_the_same(network, batch, monkeypatch):
    plain, plain_history = trained(network, batch, "none")
    monkeypatch.setattr(teacher_pass, "gains_from_bfloat16", lambda: True)
    fast, fast_history = trained(network, batch, "auto")
    assert fast.accelerated["teacher"].endswith("bfloat16")
    for name, values in plain_history.items():
        assert fast_history[name] == pytest.approx(values, rel=0.02), name


def test_the_students_file_knows_nothing_of_it(
    network, batch, monkeypatch, tmp_path
):
    monkeypatch.setattr(fused_norm, "is_faster", lambda dtype: True)
    fast, _ = trained(network, batch, "auto")
    plain, _ = trained(network, batch, "none")
    assert fast.student.get_config() == plain.student.get_config()
    fast.save(tmp_path / "wrapper.keras")
    loaded = keras.models.load_model(tmp_path / "wrapper.keras")
    assert loaded.get_config()["acceleration"] == "auto"
    np.testing.assert_array_equal(
        loaded.predict(batch[0], verbose=0),
        fast.student.predict(batch[0], verbose=0),
    )


def test_new_teacher_weights_are_noticed(network, batch, paraphraser):
    teacher = network(8)
    model = FactorTransfer(
        teacher, network(4), paraphraser, acceleration="auto"
    )
    model.compile(
        keras.optimizers.SGD(0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    losses = []
    for seed in (1, 2, 1):
        rng = np.random.default_rng(seed)
        teacher.set_weights(
            [rng.uniform(0.5, 1.5, w.shape) for w in teacher.get_weights()]
        )
        history = model.fit(*batch, shuffle=False, verbose=0).history
        losses.append(history["factor_loss"][0])
    assert losses[0] == pytest.approx(losses[2], rel=1e-5)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_where_it_no_longer_applies_the_teacher_itself_runs_again(
    network, batch, paraphraser, monkeypatch
):
    monkeypatch.setattr(fused_norm, "is_faster", lambda dtype: True)
    teacher = network(8)
    model = FactorTransfer(teacher, network(4), paraphraser)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    model.evaluate(*batch, verbose=0)
    assert model.accelerated["teacher"].startswith("batch normalization folded")
    # As compile(jit_compile=True) does, which deterministic operations forbid.
    monkeypatch.setattr(Acceleration, "_why_not", lambda *_: "XLA compiles")
    model.compile("sgd", loss)
    # Weights of which a folded teacher would know nothing.
    teacher.set_weights([0.5 * weight for weight in teacher.get_weights()])
    (stale,), _ = model.run_teacher(batch[0])
    model.evaluate(*batch, verbose=0)
    assert "XLA" in model.accelerated["teacher"]
    (found,), _ = model.run_teacher(batch[0])
    assert not np.allclose(found, stale)
    with model._acceleration.forward(model):
        assert not any("call" in vars(layer) for layer in model.student.layers)


def test_why_a_teacher_is_not_folded_is_said_once(
    network, batch, paraphraser, monkeypatch, caplog
):
    def refuse(*_, **__):
        raise NotFoldableError("view", "layer 'a' keeps state")

    monkeypatch.setattr(teacher_pass, "fold", refuse)
    # The command line, if tested before, asked for errors alone.
    caplog.set_level("WARNING", logger="absl")
    fast, _ = trained(network, batch, "auto")
    fast.evaluate(*batch, verbose=0)
    fast.fit(*batch, verbose=0)
    assert fast.accelerated["teacher"] == "as it is: layer 'a' keeps state"
    said = [r.message for r in caplog.records if "folded" in r.message]
    line = (
        f"Teacher '{fast.teacher.name}' runs as it is, not folded for speed: "
        "layer 'a' keeps state."
    )
    assert said == [line, line]  # once in each phase


def test_an_unknown_choice_is_refused(network, paraphraser):
    with pytest.raises(InputError, match="acceleration"):
        FactorTransfer(network(8), network(4), paraphraser, acceleration="yes")
