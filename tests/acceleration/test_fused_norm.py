"""Fused batch normalization: the numbers of Keras' own layer.

An error is measured on the scale of the numbers before they cancel: the terms
of a sum, not the sum, which can be zero. Keras' own float32 results are off by
about as much as the bounds here allow, as
`test_it_is_as_near_to_the_truth_as_keras` shows.
"""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft.acceleration.fused_norm import fused

BatchNormalization = keras.layers.BatchNormalization
STEPS = 4
# float32: some 30 roundings of 2^-24. The others: both compute in float32 and
# round once, so that they are at most one step of the narrow type apart.
BOUNDS = {"float32": 2e-6, "bfloat16": 2**-7, "float16": 2**-10}
# Statistics and the gradients of gamma and beta are float32 everywhere.
SUMS = 5e-6


def layer_of(shape, dtype="float32", **options):
    """A built layer whose weights are nobody's default."""
    layer = BatchNormalization(dtype=dtype, **options)
    layer.build((None, *shape[1:]))
    rng = np.random.default_rng(1)
    for variable in layer.variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return layer


def images_of(shape, mean=0.5, deviation=2.0):
    rng = np.random.default_rng(2)
    images = rng.normal(mean, deviation, (STEPS, *shape))
    return images.astype("float32"), rng.normal(size=shape).astype("float32")


def step_of(layer, fuse, **call):
    """A traced forward and backward pass."""
    names = [n for n in ("gamma", "beta") if getattr(layer, n) is not None]

    @tf.function(autograph=False)
    def step(x, weights):
        with tf.GradientTape() as tape:
            tape.watch(x)
            with fused(layer) if fuse else contextlib.nullcontext():
                outputs = layer(x, **{"training": True, **call})
        wanted = {n: getattr(layer, n).value for n in names}
        gradients = tape.gradient(outputs, {"x": x, **wanted}, weights)
        return {"outputs": outputs, **gradients}

    return step


def kernels(function):
    """How many layers of a traced step are fused: what TensorFlow runs."""
    operations = function.graph.get_operations()
    return sum(o.type == "FusedBatchNormV3" for o in operations)


def run(layer, fuse, images, weights, **call):
    """Results of the last of some steps, statistics, and kernels used."""
    dtype = layer.compute_dtype
    step = step_of(layer, fuse, **call).get_concrete_function(
        tf.TensorSpec((None, *images.shape[2:]), dtype),
        tf.TensorSpec(weights.shape, dtype),
    )
    for batch in images:
        results = step(tf.cast(batch, dtype), tf.cast(weights, dtype))
    assert results["outputs"].dtype == results["x"].dtype == dtype
    results["moving_mean"] = layer.moving_mean
    results["moving_variance"] = layer.moving_variance
    arrays = {
        name: keras.ops.convert_to_numpy(keras.ops.cast(value, "float64"))
        for name, value in results.items()
    }
    return arrays, kernels(step)


def exact(images, weights, layer):
    """Float64 results of a step, and the scale of the terms of each."""
    x, dy = images[-1].astype("float64"), weights.astype("float64")
    axes = tuple(range(x.ndim - 1))
    gamma, beta = (
        1.0 * default
        if variable is None
        else keras.ops.convert_to_numpy(variable).astype("float64")
        for variable, default in ((layer.gamma, 1), (layer.beta, 0))
    )
    inverse = 1 / np.sqrt(x.var(axes) + layer.epsilon)
    unit = (x - x.mean(axes)) * inverse
    by_gamma, by_beta = (dy * unit).sum(axes), dy.sum(axes)
    count = x.size / x.shape[-1]
    by_x = gamma * inverse * (dy - (by_beta + unit * by_gamma) / count)
    values = {"outputs": unit * gamma + beta, "x": by_x}
    scales = {  # Keras adds x * gamma / deviation and beta - mean * ...
        "outputs": np.abs(x * inverse * gamma).max() + np.abs(beta).max(),
        "x": np.abs(gamma * inverse * dy).max(),
        "gamma": np.abs(dy * unit).sum(axes).max(),
        "beta": np.abs(dy).sum(axes).max(),
    }
    return {**values, "gamma": by_gamma, "beta": by_beta}, scales


def assert_near(found, expected, scales, bounds):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = scales.get(name, np.abs(value).max())
        error = np.abs(found[name] - value).max()
        bound = bounds["x" if name in ("x", "outputs") else "sums"]
        assert error <= bound * scale, f"{name}: {error / scale:.1e}"


def assert_equals_keras(shape, dtype="float32", **options):
    """Outputs, gradients and moving statistics, after some steps."""
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    images, weights = (
        keras.ops.convert_to_numpy(tf.cast(tf.cast(array, dtype), "float32"))
        for array in images_of(shape)
    )
    mine, theirs = (layer_of(shape, policy, **options) for _ in range(2))
    found, fused_layers = run(mine, True, images, weights)
    expected, _ = run(theirs, False, images, weights)
    assert fused_layers == 1
    _, scales = exact(images, weights, theirs)
    assert_near(found, expected, scales, {"x": BOUNDS[dtype], "sums": SUMS})


@pytest.mark.parametrize(
    "shape",
    [
        (3, 5, 7, 4),
        (1, 4, 4, 3),  # batch 1
        (2, 1, 1, 5),  # one position
        (1, 1, 1, 3),  # one value per channel: no unbiased variance
        (64, 9, 9, 1),
        (7, 5),
        (1, 5),
        (2, 6, 3),
        (2, 3, 1, 2, 5),
    ],
)
def test_every_shape_equals_keras(shape):
    assert_equals_keras(shape)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": False},
        {"center": False},
        {"scale": False, "center": False},
        {"momentum": 0.0},
        {"momentum": 0.9},
        {"momentum": 1.0},
        # tf.compat.v1.nn.fused_batch_norm would make it 1.001e-5.
        {"epsilon": 1e-7},
        {"axis": 3},
    ],
)
def test_every_option_equals_keras(options):
    assert_equals_keras((4, 3, 5, 6), **options)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(8, 5, 3, 4), (9, 4), (1, 1, 1, 2)])
def test_mixed_precision_equals_keras(shape, dtype):
    assert_equals_keras(shape, dtype)


@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_it_is_as_near_to_the_truth_as_keras(mean):
    # At a mean of 500 deviations both lose three digits to cancellation.
    images, weights = images_of((64, 8, 8, 4), mean)
    errors = []
    for fuse in (True, False):
        layer = layer_of(images.shape[1:])
        results, _ = run(layer, fuse, images, weights)
        expected, _ = exact(images, weights, layer)
        errors.append(
            {k: np.abs(results[k] - v).max() for k, v in expected.items()}
        )
    mine, theirs = errors
    assert all(mine[name] <= 3 * theirs[name] for name in mine), errors


def _own_call(layer):
    vars(layer)["call"] = type(layer).call.__get__(layer)
    return layer


SHAPE = (4, 3, 2, 5)
MASK = np.arange(24).reshape(SHAPE[:-1]) % 3 > 0


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (lambda: layer_of(SHAPE, synchronized=True), {}),
        (lambda: layer_of(SHAPE, renorm=True), {}),
        (lambda: layer_of(SHAPE, axis=1), {}),
        (lambda: layer_of(SHAPE, "float64"), {}),
        (lambda: layer_of(SHAPE, trainable=False), {}),
        (lambda: _own_call(layer_of(SHAPE)), {}),
        (lambda: layer_of(SHAPE), {"training": False}),
        (lambda: layer_of(SHAPE), {"mask": MASK}),
    ],
    ids=[
        "synchronized",
        "renorm",
        "axis",
        "float64",
        "frozen",
        "own call",
        "inference",
        "mask",
    ],
)
def test_the_rest_is_left_to_keras(make, call):
    images, weights = images_of(SHAPE)
    expected, _ = run(make(), False, images, weights, **call)
    found, fused_layers = run(make(), True, images, weights, **call)
    assert fused_layers == 0
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_stateless_calls_return_the_statistics():
    images, _ = images_of(SHAPE)
    layer = layer_of(SHAPE)
    state = layer.trainable_variables, layer.non_trainable_variables
    arguments = *([v.value for v in part] for part in state), images[0]
    expected = layer.stateless_call(*arguments, training=True)
    with fused(layer):
        found = layer.stateless_call(*arguments, training=True)
    assert not np.array_equal(found[1][0], layer.moving_mean)
    for one, other in zip(
        *map(keras.tree.flatten, (found, expected)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_replicas_average_the_statistics_as_in_keras(two_devices):
    strategy = tf.distribute.MirroredStrategy(two_devices)
    images, _ = images_of(SHAPE)
    results = []
    for fuse in (True, False):
        with strategy.scope():
            layer = layer_of(SHAPE)

        @tf.function
        def step(layer=layer, fuse=fuse):
            context = tf.distribute.get_replica_context()
            x = tf.constant(images)[context.replica_id_in_sync_group]
            with fused(layer) if fuse else contextlib.nullcontext():
                return layer(x, training=True)

        strategy.run(step)
        assert "call" not in vars(layer)
        results.append([v.numpy() for v in layer.non_trainable_variables])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
