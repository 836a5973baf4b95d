"""Networks of the zoo, each built once for the tests that only look."""

import functools

import pytest

from keras_ft import zoo


@pytest.fixture(scope="session")
def built():
    """`zoo.build(name)`, kept; with a shortcut, that of a ResNet."""

    @functools.cache
    def build(name, shortcut=None):
        if shortcut:
            return getattr(zoo, name)(shortcut=shortcut)
        return zoo.build(name)

    return build
