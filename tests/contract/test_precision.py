"""Mixed precision: the loss is scaled, gradients are not."""

import keras
import numpy as np
import pytest

Scaled = keras.optimizers.LossScaleOptimizer


@pytest.fixture
def changes(network, build, compiled, batch):
    """How far each trained weight moves; equal starts in every precision."""

    def distiller():
        keras.utils.set_random_seed(7)
        # The true gradient of a bias before batch normalization is 0.
        return build(network(4, normalize=False))

    def train(policy, optimizer, steps=3, weight=1.0, **kwargs):
        keras.config.set_dtype_policy("float32")
        start = [np.array(v) for v in distiller().trainable_variables]
        keras.config.set_dtype_policy(policy)
        model = compiled(distiller(), optimizer=optimizer, **kwargs)
        assert model.dtype_policy.name == policy
        for variable, value in zip(
            model.trainable_variables, start, strict=True
        ):
            assert variable.dtype == "float32"
            variable.assign(value)
        weights = np.full(24, weight, "float32")
        for _ in range(steps):
            model.train_on_batch(*batch, weights)
        end = [np.array(v) for v in model.trainable_variables]
        return model, [new - old for old, new in zip(start, end, strict=True)]

    return train


def distance(one, other):
    """Relative distance of two lists of changes, as one long vector."""
    one, other = (np.concatenate([a.ravel() for a in x]) for x in (one, other))
    return np.linalg.norm(one - other) / np.linalg.norm(other)


def sgd(rate=0.1):
    return keras.optimizers.SGD(rate)


@pytest.mark.cell("mixed_float16")
@pytest.mark.cell("mixed_bfloat16")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_follows_float32(changes, policy):
    _, exact = changes("float32", sgd(), steps=1)
    model, mixed = changes(policy, sgd(), steps=1)
    scaled = isinstance(model.optimizer, Scaled)
    assert scaled == (policy == "mixed_float16")
    # Kernels only: TensorFlow and XLA sum the gradients of a bfloat16 bias in
    # bfloat16 on CPUs, here over 1536 positions, of any layer.
    kernels = [[c for c in x if c.ndim > 1] for x in (mixed, exact)]
    # Measured up to 0.010 and 0.10: a unit in the last place, 2**-11 and
    # 2**-8, times the cancellation within gradients. A wrong scale would be
    # off by a factor of at least 2.
    assert distance(*kernels) < (0.02 if scaled else 0.16)


@pytest.mark.long  # On JAX it needs the programs that users have.
def test_the_loss_scale_saves_gradients_that_float16_cannot_hold(changes):
    # The loss shrinks a millionfold, the rate grows as much: float32 sees no
    # difference. Without a scale the gradients of activations, summed over
    # 8x8 positions, are below the smallest float16, 6e-8.
    tiny = {"steps": 1, "weight": 1e-6}
    _, exact = changes("float32", sgd(1e5), **tiny)
    _, plain = changes("mixed_float16", sgd(1e5), auto_scale_loss=False, **tiny)
    model, scaled = changes("mixed_float16", sgd(1e5), **tiny)
    assert float(model.optimizer.dynamic_scale) == 2.0**15
    assert distance(scaled, exact) < 0.02
    assert distance(plain, exact) > 0.1


@pytest.mark.cell("mixed_float16")
def test_a_scale_too_large_is_halved_and_changes_nothing(changes):
    optimizer = Scaled(sgd(), initial_scale=2.0**40)
    model, moved = changes("mixed_float16", optimizer, steps=1)
    assert all(np.all(change == 0) for change in moved)
    assert float(model.optimizer.dynamic_scale) == 2.0**39
    assert int(model.optimizer.inner_optimizer.iterations) == 0


@pytest.mark.cell("mixed_float16")
def test_a_scale_that_fits_grows(changes):
    optimizer = Scaled(sgd(), initial_scale=64.0, dynamic_growth_steps=2)
    model, _ = changes("mixed_float16", optimizer, steps=4)
    assert float(model.optimizer.dynamic_scale) == 256.0
