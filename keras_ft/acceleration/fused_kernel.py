"""TensorFlow's fused kernel of batch normalization, and where it pays."""

from typing import Any

import keras

from keras_ft.acceleration import processor

DTYPES = ("float32", "bfloat16", "float16")


def applies() -> bool:
    """Whether this process computes on TensorFlow, and on processors only."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return {d.device_type for d in tf.config.get_visible_devices()} == {"CPU"}


def pays(dtype: str = "float32") -> bool:
    """Whether a student is trained faster by the fused kernel here.

    In float32 with oneDNN; in bfloat16 only if the processor multiplies it.
    Known, not timed: a run that is repeated or continued must decide alike.
    `benchmarks/fused_norm.py` is where the rule comes from.

    Args:
        dtype: The dtype of the activations.
    """
    if not applies():
        return False
    if dtype == "bfloat16":
        return processor.gains_from_bfloat16()
    return dtype == "float32" and processor.has_onednn()


def run(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Outputs, mean and unbiased variance of the fused kernel."""
    import tensorflow as tf

    # Not `fused_batch_norm`: it raises an epsilon below 1.001e-5.
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=gamma,
        offset=beta,
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=epsilon,
        exponential_avg_factor=1.0,
        is_training=True,
    )
    return outputs, mean, variance
