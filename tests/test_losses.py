"""The mathematics against NumPy in float64 and published numbers."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ft import losses
from keras_ft.errors import InputError


def numpy_distance(teacher, student, p):
    """The loss as the paper writes it, in float64; origin: by hand."""
    teacher = teacher.reshape(len(teacher), -1).astype("float64")
    student = student.reshape(len(student), -1).astype("float64")
    teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
    student /= np.linalg.norm(student, axis=1, keepdims=True)
    return (np.abs(teacher - student) ** p).sum(axis=1)


def factors(seed, batch=3, shape=(4, 4, 6)):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, batch, *shape)).astype("float32")


@pytest.mark.parametrize("p", [1, 2])
def test_factor_distance_is_the_papers_norm_divided_by_its_size(p):
    teacher, student = factors(0)
    expected = numpy_distance(teacher, student, p)
    size = teacher[0].size
    total = losses.factor_distance(teacher, student, p=p, reduction="sum")
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    mean = losses.factor_distance(teacher, student, p=p)
    np.testing.assert_allclose(mean, expected / size, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_relative_distance_reaches_one_for_opposite_equal_entries(p):
    # Opposite vectors of equal entries attain the bound for both norms.
    ones = np.ones((2, 4, 4, 8), "float32")
    distance = losses.factor_distance(ones, -ones, p=p, reduction="relative")
    np.testing.assert_allclose(distance, [1.0, 1.0], rtol=1e-5)


def test_official_numbers(reference):
    # Origin: reference/README.md, computed in PyTorch 2.14.1 on the weights
    # published with the authors' code.
    stored = np.load(reference / "official_paraphraser_ref.npz")
    factor = stored["f"].transpose(0, 2, 3, 1)
    reversed_batch = factor[::-1].copy()
    flat = ops.mean(losses.factor_distance(factor, reversed_batch))
    assert abs(float(flat) - 0.010444285) < 1e-7
    attention = ops.mean(
        losses.factor_distance(
            losses.attention_map(factor), losses.attention_map(reversed_batch)
        )
    )
    assert abs(float(attention) - 0.057908989) < 1e-7


def test_distance_ignores_positive_scale_and_follows_the_batch():
    teacher, student = factors(1)
    base = ops.convert_to_numpy(losses.factor_distance(teacher, student))
    scaled = losses.factor_distance(teacher * 1e-3, student * 7e4)
    np.testing.assert_allclose(scaled, base, rtol=1e-5)
    order = [2, 0, 1]
    permuted = losses.factor_distance(teacher[order], student[order])
    np.testing.assert_allclose(permuted, base[order], rtol=1e-6)
    same = losses.factor_distance(teacher, teacher * 3.0)
    np.testing.assert_allclose(same, 0.0, atol=1e-7)


@pytest.mark.parametrize("magnitude", [1e-15, 1e20])
def test_extreme_factors_neither_vanish_nor_overflow(magnitude):
    teacher, student = factors(2)
    base = losses.factor_distance(teacher, student)
    if magnitude > 1:
        distance = losses.factor_distance(teacher * magnitude, student)
        np.testing.assert_allclose(distance, base, rtol=1e-5)
    else:
        unit = losses.unit_vectors(teacher * magnitude)
        np.testing.assert_array_equal(unit, np.zeros_like(unit))


def test_half_precision_features_are_normalized_in_float32():
    # An 8x8x64 map of 8.0 has a squared norm of 262,144, beyond float16.
    features = np.full((1, 8, 8, 64), 8.0, "float16")
    unit = ops.convert_to_numpy(losses.unit_vectors(features))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, 1 / 64, rtol=1e-6)


@pytest.mark.parametrize("p", [1, 2])
def test_gradient_equals_finite_differences_in_float64(p):
    import tensorflow as tf

    teacher, student = factors(3, batch=2, shape=(2, 2, 3))
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(losses.factor_distance(teacher, variable, p=p))
    gradient = tape.gradient(total, variable).numpy()
    numeric = np.zeros_like(student, dtype="float64")
    exact, size = student.astype("float64"), student[0].size
    for index in np.ndindex(*student.shape):
        step = np.zeros_like(exact)
        step[index] = 1e-6
        high = numpy_distance(teacher, exact + step, p).sum()
        low = numpy_distance(teacher, exact - step, p).sum()
        numeric[index] = (high - low) / 2e-6 / size
    np.testing.assert_allclose(gradient, numeric, atol=1e-6)


def test_a_zero_factor_has_a_finite_loss_and_gradient():
    import tensorflow as tf

    teacher, _ = factors(4)
    variable = tf.Variable(tf.zeros_like(teacher))
    with tf.GradientTape() as tape:
        distance = losses.factor_distance(teacher, variable)
    assert np.all(np.isfinite(distance))
    gradient = tape.gradient(distance, variable)
    np.testing.assert_array_equal(gradient, np.zeros_like(teacher))
    both_zero = losses.factor_distance(teacher * 0, teacher * 0)
    np.testing.assert_array_equal(both_zero, np.zeros(3))


def test_teacher_factor_receives_no_gradient():
    import tensorflow as tf

    teacher, student = map(tf.Variable, factors(5))
    with tf.GradientTape() as tape:
        distance = losses.factor_distance(teacher, student)
    assert tape.gradient(distance, teacher) is None


def test_soft_targets_equal_numpy():
    rng = np.random.default_rng(6)
    teacher, student = rng.normal(size=(2, 5, 10)) * 3
    temperature = 4.0

    def softmax(logits):
        powers = np.exp(logits / temperature)
        return powers / powers.sum(axis=1, keepdims=True)

    t, s = softmax(teacher), softmax(student)
    expected = (t * np.log(t / s)).sum(axis=1) * temperature**2
    divergence = losses.soft_target_divergence(teacher, student, temperature)
    np.testing.assert_allclose(divergence, expected, rtol=1e-4)
    assert divergence.dtype == "float32"


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def numpy_decoupled(teacher, student, temperature, alpha, beta):
    """mdistiller's `dkd_loss` per example in float64, its masks included."""
    target = np.eye(teacher.shape[-1])[teacher.argmax(-1)]
    two, others = [], []
    for logits in (teacher / temperature, student / temperature):
        chances = softmax(logits)
        pair = [(chances * m).sum(-1) for m in (target, 1 - target)]
        two.append(np.stack(pair, -1))
        others.append(softmax(logits - 1000.0 * target))

    def divergence(p, q):
        # As torch.nn.functional.kl_div, where 0 * log(0) is 0.
        logs = np.log(np.where(p > 0, p / np.where(p > 0, q, 1), 1))
        return (p * logs).sum(-1)

    both = alpha * divergence(*two) + beta * divergence(*others)
    return both * temperature**2


@pytest.mark.parametrize("shape", [(5, 10), (2, 3, 4, 7)])
@pytest.mark.parametrize("weights", [(1.0, 8.0), (1.0, 0.0), (0.0, 1.0)])
def test_decoupled_divergence_equals_mdistillers(shape, weights):
    teacher, student = np.random.default_rng(8).normal(size=(2, *shape)) * 4
    expected = numpy_decoupled(teacher, student, 4.0, *weights)
    expected = expected.reshape(len(expected), -1).mean(-1)
    found = losses.decoupled_divergence(teacher, student, 4.0, *weights)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert found.dtype == "float32" and found.shape == (shape[0],)


def test_hintons_divergence_is_the_decoupled_ones_reassembled():
    """KD = TCKD + (1 - p of the target) * NCKD, equation 7 of the paper."""
    teacher, student = np.random.default_rng(9).normal(size=(2, 6, 10)) * 3
    target, others = (
        ops.convert_to_numpy(
            losses.decoupled_divergence(teacher, student, 2.0, *weights)
        )
        for weights in ((1.0, 0.0), (0.0, 1.0))
    )
    rest = 1 - softmax(teacher / 2.0).max(-1)
    whole = losses.soft_target_divergence(teacher, student, 2.0)
    np.testing.assert_allclose(target + rest * others, whole, rtol=1e-4)


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_decoupled_divergence_is_finite_where_the_teacher_is_sure(size):
    import tensorflow as tf

    teacher = np.eye(3, 5) * size
    student = tf.Variable(np.full((3, 5), 0.5) - teacher)
    with tf.GradientTape() as tape:
        value = losses.decoupled_divergence(teacher, student)
    assert np.isfinite(value).all() and (np.asarray(value) > 0).all()
    assert np.isfinite(tape.gradient(value, student)).all()


def test_two_classes_have_no_other_class():
    teacher, student = np.random.default_rng(10).normal(size=(2, 4, 2))
    found = losses.decoupled_divergence(teacher, student, 4.0, 0.0, 8.0)
    np.testing.assert_allclose(found, 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(5, 10), (2, 3, 4, 7)])
def test_standardized_logits_equal_the_official_ones(shape):
    logits = np.random.default_rng(11).normal(3.0, 5.0, size=shape)
    # torch.std divides by the number of classes less one.
    expected = logits - logits.mean(-1, keepdims=True)
    expected /= 1e-7 + logits.std(-1, keepdims=True, ddof=1)
    found = losses.standardized_logits(logits)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    moved = losses.standardized_logits(logits * 20.0 - 7.0)
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-5)


# Of three equal logits float32's mean is another number.
@pytest.mark.parametrize("equal", [0.0, 0.1, 37.3])
def test_equal_logits_have_z_scores_of_zero_and_a_zero_gradient(equal):
    import tensorflow as tf

    logits = tf.Variable(np.full((2, 7), equal, "float32"))
    with tf.GradientTape() as tape:
        found = losses.standardized_logits(logits)
        total = tf.reduce_sum(found * np.arange(7.0, dtype="float32"))
    np.testing.assert_array_equal(found, np.zeros((2, 7)))
    np.testing.assert_array_equal(
        tape.gradient(total, logits), np.zeros((2, 7))
    )


def test_attention_distance_equals_numpy():
    teacher, student = factors(7)

    def unit_map(features):
        maps = (features.astype("float64") ** 2).mean(axis=-1)
        maps = maps.reshape(len(maps), -1)
        return maps / np.linalg.norm(maps, axis=1, keepdims=True)

    expected = ((unit_map(teacher) - unit_map(student)) ** 2).mean(axis=1)
    distance = losses.attention_distance(teacher, student)
    np.testing.assert_allclose(distance, expected, rtol=1e-4)


def test_batch_mean_weighs_like_keras():
    values = np.array([1.0, 2.0, 6.0], "float32")
    assert float(losses.batch_mean(values)) == 3.0
    weights = np.array([1.0, 0.0, 0.5], "float32")
    assert float(losses.batch_mean(values, weights)) == pytest.approx(4 / 3)
    column = losses.batch_mean(values, weights[:, None])
    assert float(column) == pytest.approx(4 / 3)
    keras_loss = keras.losses.MeanAbsoluteError()
    expected = keras_loss(np.zeros((3, 1)), values[:, None], weights)
    assert float(column) == pytest.approx(float(expected))


def test_batch_mean_refuses_weights_per_output():
    with pytest.raises(InputError, match="sample_weight"):
        losses.batch_mean(np.ones(3), {"head": np.ones(3)})
