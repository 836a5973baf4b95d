"""What every transfer must do, run over a list: add yours here."""

import keras
import numpy as np
import pytest

from keras_ft import Distiller
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import transfers


def factor_match(**kwargs):
    paraphraser = Paraphraser(0.5)
    paraphraser.trained = True
    return transfers.FactorMatch(paraphraser, **kwargs)


EVERY = {
    "FactorMatch": factor_match,
    "SoftTargets": transfers.SoftTargets,
    "standardized SoftTargets": lambda **kwargs: transfers.SoftTargets(
        standardize=True, **kwargs
    ),
    "DecoupledSoftTargets": transfers.DecoupledSoftTargets,
    "AttentionTransfer": transfers.AttentionTransfer,
    "Hint": transfers.Hint,
}


def test_the_list_is_complete():
    public = {name for name in dir(transfers) if name[0].isupper()}
    listed = {name.split()[-1] for name in EVERY}
    assert public - {"Transfer"} == listed


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_trains_in_a_distiller_and_survives_a_file(
    make, network, batch, tmp_path
):
    term = make(beta=2.0)
    model = Distiller(network(8), network(4), [term])
    model.compile(
        keras.optimizers.SGD(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    frozen = [np.array(v) for v in model.frozen_variables]
    trained = [np.array(v) for v in model.trainable_variables]
    logs = model.fit(*batch, verbose=0).history
    assert logs[f"{term.name}_loss"][0] > 0
    for old, new in zip(frozen, model.frozen_variables, strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(trained, model.trainable_variables, strict=True):
        assert not np.array_equal(old, new)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(*batch, verbose=0) == model.evaluate(
        *batch, verbose=0
    )


@pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)
def test_refuses_a_negative_beta(make):
    with pytest.raises(InputError, match="Invalid `beta`"):
        make(beta=-0.1)


def test_repdistillers_form_compares_attention_maps():
    """RepDistiller, distiller_zoo/FT.py, in NumPy: p1 = 2, p2 = 1.

    `F.normalize(f.pow(p1).mean(1).view(f.size(0), -1))` of both factors, and
    the mean of their absolute difference.
    """
    term = factor_match(form="attention")
    shape = (None, 8, 8, 8)
    term.build(shape, shape)
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 3, 8, 8, 8)).astype("float32")

    def attention(factor):
        # PyTorch's (batch, channels, height, width).
        f = keras.ops.convert_to_numpy(factor).transpose(0, 3, 1, 2)
        f = f.astype("float64")
        maps = (f**2).mean(1).reshape(len(f), -1)
        return maps / np.sqrt((maps**2).sum(1, keepdims=True))

    ours, theirs = (
        attention(layer(features))
        for layer, features in (
            (term.translator, student),
            (term.paraphraser, teacher),
        )
    )
    expected = np.abs(ours - theirs).mean(1)
    assert (expected > 1e-3).all()
    found = keras.ops.convert_to_numpy(term(teacher, student))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_equal_factors_have_no_distance():
    term = factor_match()
    shape = (None, 8, 8, 8)
    term.build(shape, shape)
    term.translator.set_weights(term.paraphraser.encoder.get_weights())
    features = np.random.default_rng(0).normal(size=(3, 8, 8, 8))
    np.testing.assert_allclose(term(features, features), 0, atol=1e-7)


def test_hint_regresses_the_teachers_features():
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(4, 2, 2, 3))
    student = rng.normal(size=(4, 2, 2, 2))
    for norm in (False, True):
        term = transfers.Hint(batch_normalization=norm)
        term.build((None, 2, 2, 3), (None, 2, 2, 2))
        kernel, bias = term.regressor.get_weights()
        regressed = student @ kernel[0, 0] + bias
        if norm:
            axes = (0, 1, 2)
            regressed -= regressed.mean(axes)
            regressed /= np.sqrt(regressed.var(axes) + 1e-5)
        expected = (teacher - regressed) ** 2
        np.testing.assert_allclose(
            term(teacher, student, training=True),
            expected.mean(axis=(1, 2, 3)),
            rtol=1e-4,
        )


@pytest.mark.parametrize(
    ("argument", "value"),
    [("p", 3), ("reduction", "max"), ("form", "gram"), ("translator", "t")],
)
def test_factor_match_refuses_unknown_choices(argument, value):
    with pytest.raises(InputError, match=f"Invalid `{argument}`"):
        factor_match(**{argument: value})


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), "4"])
def test_soft_targets_refuse_a_temperature_of_zero_or_less(temperature):
    with pytest.raises(InputError, match="temperature"):
        transfers.SoftTargets(temperature=temperature)


@pytest.mark.parametrize("name", ["target_weight", "non_target_weight"])
def test_decoupled_soft_targets_refuse_a_negative_weight(name):
    with pytest.raises(InputError, match=f"Invalid `{name}`"):
        transfers.DecoupledSoftTargets(**{name: -1.0})


def test_standardized_targets_ignore_the_size_of_either_sides_logits():
    teacher, student = np.random.default_rng(1).normal(size=(2, 4, 10))
    for kind in (transfers.SoftTargets, transfers.DecoupledSoftTargets):
        term = kind(temperature=2.0, standardize=True)
        base = keras.ops.convert_to_numpy(term(teacher, student))
        assert (base > 0.05).all()
        scaled = term(teacher * 30.0 + 5.0, student * 0.1)
        np.testing.assert_allclose(scaled, base, rtol=1e-4)
        plain = kind(temperature=2.0)
        assert not np.allclose(plain(teacher * 30.0, student), base, rtol=0.1)
        again = kind.from_config(term.get_config())
        np.testing.assert_array_equal(again(teacher, student), base)


def test_a_translator_of_other_channels_is_refused():
    from keras_ft import Translator

    term = factor_match(translator=Translator(channels=5))
    with pytest.raises(InputError, match="one with 5 channels"):
        term.build((None, 8, 8, 8), (None, 8, 8, 4))
