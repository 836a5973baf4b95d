import keras
import pytest

from keras_ft.acceleration.flat_graph import NotFoldableError
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.errors import InputError

layers = keras.layers


class Plain(layers.Layer):
    """Has no config that could make it again."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


class Counting(layers.Layer):
    def build(self, _):
        self.count = self.add_weight((), "zeros", name="count")

    def call(self, x):
        self.count.assign_add(1.0)
        return x


class Losing(layers.Layer):
    def call(self, x):
        self.add_loss(keras.ops.sum(x))
        return x


class Doubling(layers.Layer):
    """The copy forgets what was set after construction."""

    factor = 1.0

    def call(self, x):
        return x * self.factor


class Holding(layers.Layer):
    """Its config hands the inner layer itself on."""

    def __init__(self, inner, **more):
        super().__init__(**more)
        self.inner = inner

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return {**super().get_config(), "inner": self.inner}


class OwnCall(keras.Model):
    def call(self, x):
        return x


class Backbone(keras.Model):
    def __init__(self):
        image = keras.Input((4,))
        super().__init__(image, layers.Dense(4)(image))

    def call(self, x, training=None, mask=None):
        return 2 * super().call(x, training=training, mask=mask)


def doubling():
    layer = Doubling()
    layer.factor = 2.0
    return layer


def recurrent():
    return keras.Sequential(
        [
            keras.Input(batch_shape=(4, 3, 2)),
            layers.LSTM(4, stateful=True),
        ]
    )


def after_input(layer):
    image = keras.Input((4,))
    return keras.Model(image, layer(image), name="teacher")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: after_input(Plain(lambda x: x)), "(Plain) cannot be copied"),
        (lambda: after_input(Counting()), "changes its variables"),
        (lambda: after_input(Losing()), "adds losses"),
        (lambda: after_input(Holding(layers.Dense(2))), "shares variables"),
        (lambda: after_input(doubling()), "relative error 5.0e-01, above"),
        (lambda: after_input(OwnCall()), "has a `call` of its own"),
        (lambda: after_input(Backbone()), "has a `call` of its own"),
        (recurrent, "(LSTM) keeps state"),
        (
            lambda: after_input(layers.Dense(2, dtype="mixed_float16")),
            "computes in float16",
        ),
        (
            lambda: after_input(layers.Lambda(lambda x: x)),
            "(Lambda) cannot be copied",
        ),
    ],
)
def test_refusals_say_why(build, reason):
    with pytest.raises(NotFoldableError) as caught:
        fold(build())
    assert reason in caught.value.reason
    assert caught.value.reason in str(caught.value)


def test_a_refused_original_with_state_is_not_called():
    original = after_input(Counting())
    with pytest.raises(NotFoldableError):
        fold(original)
    assert [float(v) for v in original.variables] == [0.0]


def test_bfloat16_that_loses_too_much_is_refused(images, assert_equal):
    # A difference of nearly equal numbers: bfloat16 has 8 bits.
    image = keras.Input((4,))
    x = layers.Rescaling(1.0, offset=1000.0)(image)
    x = layers.Rescaling(1.0, offset=-1000.0)(x)
    original = keras.Model(image, x)
    assert_equal(original, fold(original), images(8, 4), 1e-3)
    with pytest.raises(NotFoldableError, match=r"cosine .* below 0.9995"):
        fold(original, "bfloat16")


def test_another_dtype_is_refused(one_conv):
    with pytest.raises(InputError, match="float64"):
        fold(one_conv(), "float64")
