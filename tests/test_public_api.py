"""The promised names, no more and no fewer, each with an example."""

import ast
import importlib
import inspect

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


def _index(name):
    """The names a package offers: `__all__`, or `import name as name`."""
    module = importlib.import_module(name)
    return set(getattr(module, "__all__", ())) or {
        alias.name
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }


def test_the_index_is_the_promise():
    assert _index("keras_ft") == PROMISED


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_every_promised_name_is_there(name):
    assert getattr(keras_ft, name) is not None


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Paraphrase"):
        _ = keras_ft.Paraphrase


def _documented():
    for name in sorted(PROMISED - MODULES - {"__version__"}):
        yield pytest.param(getattr(keras_ft, name), id=name)
    for package in sorted(MODULES):
        module = getattr(keras_ft, package)
        for name in sorted(_index(module.__name__)):
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield pytest.param(value, id=f"{package}.{name}")


@pytest.mark.parametrize("value", list(_documented()))
def test_public_names_are_documented_with_an_example(value):
    text = inspect.getdoc(value) or ""
    assert "Example" in text and (">>> " in text or "```python" in text)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_public_packages_say_what_they_are(name):
    assert getattr(keras_ft, name).__doc__
    assert _index(f"keras_ft.{name}")
