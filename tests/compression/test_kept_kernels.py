import numpy as np
import pytest

from keras_ft.compression.kept_kernels import KeptKernels

tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")

KERNEL = np.array([[0.0, 1.0, 1.0], [2.0, 0.0, 2.0]], np.float32)
MOVED = np.array([[0.3, 1.5, 0.9], [2.0, -0.1, 3.0]], np.float32)


@pytest.mark.parametrize(
    ("zeros", "clusters", "expected"),
    [
        (False, False, MOVED),
        (True, False, [[0.0, 1.5, 0.9], [2.0, 0.0, 3.0]]),
        (False, True, [[0.1, 1.2, 1.2], [2.5, 0.1, 2.5]]),
        (True, True, [[0.0, 1.2, 1.2], [2.5, 0.0, 2.5]]),
    ],
)
def test_what_was_equal_or_zero_is_so_again(zeros, clusters, expected):
    layer = tf_keras.layers.Dense(3, name="head")
    network = tf_keras.Sequential([tf_keras.Input((2,)), layer])
    layer.kernel.assign(MOVED)
    KeptKernels(network, {"head": KERNEL}, zeros, clusters).restore()
    np.testing.assert_allclose(layer.kernel, expected, rtol=1e-6)
    if zeros:
        assert (layer.kernel.numpy()[KERNEL == 0] == 0).all()
