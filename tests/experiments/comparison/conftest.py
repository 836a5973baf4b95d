"""A comparison of tiny networks, once whole for all tests that only read."""

import pytest

import keras_ft
from keras_ft import Recipe


@pytest.fixture(scope="session")
def toy(distill_arguments, few_images):
    """Settings of `keras_ft.compare` for tiny networks and few images."""
    words = dict(word[2:].split("=") for word in distill_arguments[1:3])
    recipe = Recipe.preset("official").short(1, 1)
    return {
        "recipe": recipe,
        "teacher": words["teacher"],
        "student": words["student"],
        "dataset": str(few_images),
        "methods": ["none", "kd", "ft+at"],
        "seeds": 2,
        "export": False,
    }


@pytest.fixture(scope="session")
def finished(tmp_path_factory, toy):
    """Three methods, two seeds; tests must not change its folder."""
    folder = tmp_path_factory.mktemp("comparisons") / "whole"
    return keras_ft.compare(folder, **toy)
