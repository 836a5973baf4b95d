"""The promised names, no more and no fewer."""

import public_names
import pytest

import keras_ft

PROMISED = {
    "CoupledSGD",
    "Distiller",
    "FactorTransfer",
    "FeatureCache",
    "InputError",
    "Paraphraser",
    "ParaphraserTrainer",
    "Recipe",
    "Translator",
    "__version__",
    "compare",
    "compression",
    "data",
    "distill",
    "export",
    "multi_worker",
    "suggest_beta",
    "taps",
    "transfers",
    "tuner",
    "zoo",
}
MODULES = {
    "compression",
    "data",
    "export",
    "multi_worker",
    "transfers",
    "tuner",
    "zoo",
}


def test_the_citation_is_of_this_version(root):
    lines = (root / "CITATION.cff").read_text().splitlines()
    assert f"version: {keras_ft.__version__}" in lines


def test_the_index_is_the_promise():
    assert public_names.index("keras_ft") == PROMISED


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_promised_name_is_there(name):
    assert getattr(keras_ft, name) is not None


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Paraphrase"):
        _ = keras_ft.Paraphrase


@pytest.mark.parametrize("name", sorted(MODULES))
def test_public_packages_say_what_they_are(name):
    assert getattr(keras_ft, name).__doc__
    assert public_names.index(f"keras_ft.{name}")
