"""Where two replicas differ from one device, and why."""

import functools

import keras
import pytest

cell = functools.partial(pytest.mark.cell, where="MirroredStrategy")
SHORT = {"epochs": 1, "steps_per_epoch": 4}


@cell("batch normalization", "per replica")
def test_batch_normalization_sees_its_replica_only(on_both, gap):
    # Keras' default normalizes by the mean of the replica's own 4 images,
    # one device by that of all 8: another network, not another rounding.
    alone, both = on_both(student={"normalize": True}, fit=SHORT)
    assert gap(alone.weights, both.weights) > 1e-3


@cell("clipnorm", "per replica")
def test_gradients_are_clipped_before_they_are_added(on_both, gap):
    def clipped():
        return keras.optimizers.SGD(0.05, clipnorm=0.01)

    alone, both = on_both(optimizer=clipped, fit=SHORT)
    assert gap(alone.weights, both.weights) > 1e-4


@cell("regularizers and dropout", "other masks")
def test_replicas_draw_their_own_dropout_masks(on_both, gap):
    alone, both = on_both(student={"dropout": 0.5}, fit=SHORT)
    assert gap(alone.weights, both.weights) > 1e-3
