"""TF_CONFIG as launchers write it, and as they should not."""

import json

import keras
import pytest

from keras_ft import InputError
from keras_ft import multi_worker
from keras_ft.distribution.cluster import check_config


def config(cluster, kind="worker", index=0):
    return json.dumps(
        {"cluster": cluster, "task": {"type": kind, "index": index}}
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        config({"worker": ["a:1", "b:1"]}, index=1),
        config({"chief": ["a:1"], "worker": ["b:1"]}, kind="chief"),
    ],
)
def test_good_clusters_pass(text):
    check_config(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{worker: 2}", "JSON such as"),
        ('{"cluster": {"worker": ["a:1"]}}', "JSON such as"),
        ("[]", "JSON such as"),
        (config({"worker": []}), "workers"),
        (config({"worker": "a:1"}), "workers"),
        (config({"worker": ["a:1"]}, index=1), "task index 1"),
        (config({"worker": ["a:1"]}, index="0"), "task index '0'"),
        (config({"worker": ["a:1"], "ps": ["b:1"]}), "Parameter servers"),
        (config({"worker": ["a:1"]}, kind="evaluator"), "JSON such as"),
    ],
)
def test_bad_clusters_are_explained(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG") as caught:
        multi_worker.strategy()
    assert message in str(caught.value)


def test_a_strategy_after_the_first_operation_is_explained(monkeypatch):
    keras.ops.zeros(())
    monkeypatch.setenv("TF_CONFIG", config({"worker": ["a:1", "b:1"]}))
    with pytest.raises(InputError, match="program's start"):
        multi_worker.strategy()
