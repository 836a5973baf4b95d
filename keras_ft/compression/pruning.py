"""Magnitude pruning: the smallest weights become zero, little by little."""

from typing import Any

from keras_ft.compression.kernels import has_kernel
from keras_ft.compression.rebuilt import rebuilt
from keras_ft.compression.tfmot import tfmot

# The rest of the training heals what was cut.
_CUTTING = 0.6
_CUTS = 50


def prunable(network: Any, sparsity: float, steps: int) -> Any:
    """A copy of a network that prunes itself while it trains.

    The sparsity rises with the third power of time and is reached after 60%
    of the steps.

    Args:
        network: A flat `tf_keras` network.
        sparsity: Share of zeros in each kernel at the end, 0..1.
        steps: Training steps, at least 1.

    Returns:
        The network, each layer with a kernel wrapped.

    Reference:
        Zhu and Gupta 2017, arXiv:1710.01878.

    Example:

    >>> network = prunable(network, sparsity=0.5, steps=1000)
    """
    keras_pruning = tfmot().sparsity.keras
    frequency = max(1, steps // _CUTS)
    # A multiple: otherwise the last cut, to the full sparsity, is left out.
    end = frequency * max(1, round(_CUTTING * steps / frequency))
    schedule = keras_pruning.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=sparsity,
        begin_step=0,
        end_step=end,
        frequency=frequency,
    )

    def wrapped(layer: Any) -> Any:
        if not has_kernel(layer):
            return layer
        return keras_pruning.prune_low_magnitude(
            layer, pruning_schedule=schedule
        )

    return rebuilt(network, wrapped)


def callbacks() -> list[Any]:
    """What `fit` needs beside the wrapped network."""
    return [tfmot().sparsity.keras.UpdatePruningStep()]


def stripped(network: Any) -> Any:
    """The pruned network without its wrappers."""
    return rebuilt(tfmot().sparsity.keras.strip_pruning(network))
