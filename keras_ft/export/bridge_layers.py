"""The Keras 3 layers that the bridge lets through.

Only what was compared is here: tf_keras may know another layer or activation
under the same name and compute something else.
"""

from typing import Any

import keras

from keras_ft.export.bridge_error import BridgeError

_1D_TO_3D = (
    "AveragePooling",
    "Cropping",
    "GlobalAveragePooling",
    "GlobalMaxPooling",
    "MaxPooling",
    "SpatialDropout",
    "UpSampling",
    "ZeroPadding",
    "Conv",
)
LAYERS = frozenset(
    f"{kind}{rank}D" for kind in _1D_TO_3D for rank in (1, 2, 3)
) | {
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "Bidirectional",
    "CenterCrop",
    "Concatenate",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "ELU",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GRU",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNormalization",
    "Identity",
    "LSTM",
    "LayerNormalization",
    "LeakyReLU",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RandomBrightness",
    "RandomContrast",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNN",
    "Softmax",
    "Subtract",
    "TimeDistributed",
    "UnitNormalization",
}
ACTIVATIONS = frozenset(
    {
        "elu",
        "exponential",
        "gelu",
        "leaky_relu",
        "linear",
        "log_softmax",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softmax",
        "softplus",
        "softsign",
        "tanh",
    }
)
_REPLACE = "Replace it by layers that tf_keras has, and train again."
_REMEDIES = {
    "Masking": "Give it sequences without padding.",
    "RandomCrop": "Leave it to the data pipeline.",
    "Lambda": "Write it with stock layers such as Rescaling, Add or Reshape.",
    "RMSNormalization": "Use LayerNormalization, and train again.",
    "SpectralNormalization": "Use the layer it wraps, with the weights as "
    "they are after training.",
    "AdaptiveAveragePooling2D": "Use AveragePooling2D with a fixed pool_size, "
    "or GlobalAveragePooling2D.",
}


def check_known(layer: Any) -> None:
    """Refuse what is no stock layer that both packages have.

    Raises:
        BridgeError: It is not one of `LAYERS`.

    Example:

    >>> check_known(keras.layers.Dense(3))
    """
    kind = type(layer).__name__
    if not isinstance(layer, keras.layers.Layer):
        raise BridgeError(
            layer.name,
            f"an operation ({kind}) outside of a layer",
            "Use the layer instead, such as Add, Multiply, ReLU, Reshape or "
            "Rescaling. Masking and mask_zero add operations, too.",
        )
    if isinstance(layer, keras.Model):
        raise BridgeError(
            layer.name,
            f"a subclassed model ({kind})",
            "Rebuild it with the Functional API: keras.Model(inputs, outputs).",
        )
    if type(layer) is not getattr(keras.layers, kind, None):
        raise BridgeError(
            layer.name,
            f"a custom layer ({kind})",
            "Write it with stock Keras layers.",
        )
    if kind not in LAYERS:
        raise BridgeError(
            layer.name,
            f"a {kind} layer, which tf_keras lacks or computes differently",
            _REMEDIES.get(kind, _REPLACE),
        )
