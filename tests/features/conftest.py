"""Tiny transformers, as Keras tutorials build them."""

import keras
import pytest
from keras import layers
from keras import ops


@keras.saving.register_keras_serializable(package="tests_features")
class ClassToken(layers.Layer):
    """Puts tokens without a place before the others."""

    def __init__(self, count=1, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def build(self, shape):
        self.token = self.add_weight((1, self.count, shape[-1]), name="token")

    def call(self, x):
        token = ops.broadcast_to(
            self.token, (ops.shape(x)[0], self.count, x.shape[-1])
        )
        return ops.concatenate([token, x], axis=1)

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] + self.count, shape[2])

    def get_config(self):
        return {**super().get_config(), "count": self.count}


def block(x, name):
    y = layers.LayerNormalization(name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(2, 4, name=f"{name}_attention")(y, y)
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = layers.LayerNormalization(name=f"{name}_norm2")(x)
    y = layers.Dense(16, activation="gelu", name=f"{name}_mlp1")(y)
    y = layers.Dense(8, name=f"{name}_mlp2")(y)
    y = layers.Dropout(0.1, name=f"{name}_dropout")(y)
    return layers.Add(name=f"{name}_add2")([x, y])


@pytest.fixture(scope="session")
def vit():
    """A plain ViT: 8 channels, patches of 4, `extra` tokens before them."""

    def build(extra=0, shape=(16, 16, 3), name="vit"):
        image = keras.Input(shape)
        x = layers.Rescaling(1 / 127.5, -1.0)(image)
        x = layers.Conv2D(8, 4, strides=4, name="patches")(x)
        x = layers.Reshape((-1, 8), name="tokens")(x)
        if extra:
            x = ClassToken(extra, name="class_token")(x)
        for index in range(2):
            x = block(x, f"block{index}")
        x = layers.LayerNormalization(name="norm")(x)
        x = x[:, 0] if extra else layers.GlobalAveragePooling1D()(x)
        x = layers.Dropout(0.1)(x)
        return keras.Model(image, layers.Dense(4, name="head")(x), name=name)

    return build
