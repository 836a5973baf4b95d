"""Compute the losses of the transfers: per example, unreduced, in float32.

Every function takes batch-first tensors of any Keras backend and returns one
float32 number per example; averaging over the batch, sample weights and the
division by the number of replicas happen in one place, `batch_mean`.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_ft.errors import InputError

# The guard of torch.nn.functional.normalize, used by the official code.
ZERO_NORM = 1e-12
# Added to the standard deviation of logits by sunshangquan's official code.
_DEVIATION_EPSILON = 1e-7
# Logits that differ by less, relative to the largest, are equal but for
# float32's rounding.
_ROUNDING = 1e-6
# A logit of no probability; -inf would make NaN of 0 * (-inf + inf).
_IMPOSSIBLE = -1e30

REDUCTIONS = ("mean", "sum", "relative")
RECONSTRUCTION_LOSSES = ("l1", "l2")


def flatten(tensor: Any) -> Any:
    """Flatten each example: (batch, ...) -> (batch, D) in float32.

    Example:

    >>> from keras_ft import losses
    >>> keras.ops.shape(losses.flatten(np.ones((2, 8, 8, 32))))
    (2, 2048)
    """
    tensor = ops.cast(tensor, "float32")
    size = 1
    for length in tensor.shape[1:]:
        size = -1 if length is None or size == -1 else size * length
    # A batch may be empty, where -1 would have no answer.
    batch = ops.shape(tensor)[0] if size == -1 else -1
    return ops.reshape(tensor, (batch, size))


def unit_vectors(factor: Any) -> Any:
    """Divide each flattened example by its L2 norm.

    `u = f / ||f||_2`, computed in float32 whatever the input's dtype. An
    example whose norm is at most 1e-12 becomes the zero vector with a zero
    gradient, where dividing by a clipped norm would give a gradient of 1e12.
    The largest magnitude is divided out first, so nothing overflows: the
    square of 1e20 would.

    Args:
        factor: Tensor (batch, ...), any float dtype.

    Returns:
        Tensor (batch, D), float32, each row of length 1 or 0.

    Example:

    >>> from keras_ft import losses
    >>> np.asarray(losses.unit_vectors(np.array([[3.0, 4.0], [0.0, 0.0]])))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)

    Reference:
        Kim, Park and Kwak 2018, arXiv:1802.04977: the normalized factors of
        the factor transfer loss.
    """
    flat = flatten(factor)
    largest = ops.stop_gradient(ops.max(ops.abs(flat), axis=1, keepdims=True))
    alive = largest > ZERO_NORM
    flat = ops.where(alive, flat, 0.0) / ops.where(alive, largest, 1.0)
    squares = ops.sum(ops.square(flat), axis=1, keepdims=True)
    return flat / ops.sqrt(ops.where(alive, squares, 1.0))


def factor_distance(
    teacher_factor: Any,
    student_factor: Any,
    p: int = 1,
    reduction: str = "mean",
) -> Any:
    """Return the distance of two factors on the unit sphere, per example.

    With `d = F_T/||F_T||_2 - F_S/||F_S||_2` of D entries:

    - `"mean"`: `sum(|d|^p) / D`, the official code's (with p = 1). It shrinks
      with D: about `1.13/sqrt(D)` for unrelated factors, so that a good
      `beta` depends on the factor's size.
    - `"sum"`: `sum(|d|^p)`, the norm as the paper writes it (p = 1). A beta
      for `"mean"` is D times a beta for `"sum"`.
    - `"relative"`: the mean divided by its upper bound, hence in [0, 1] for
      every D: `2/sqrt(D)` for p = 1 and `4/D` for p = 2.

    For p = 2 this is the squared L2 norm: smooth where the factors agree.

    Args:
        teacher_factor: Tensor (batch, ...). No gradient flows into it.
        student_factor: Tensor of the same shape.
        p: 1 or 2.
        reduction: `"mean"`, `"sum"` or `"relative"`.

    Returns:
        Tensor (batch,), float32, at least 0, invariant to positive scaling
        of either factor.

    Example:

    >>> from keras_ft import losses
    >>> teacher, student = np.array([[1.0, 0.0]]), np.array([[0.0, 5.0]])
    >>> np.asarray(losses.factor_distance(teacher, student))
    array([1.], dtype=float32)

    Reference:
        arXiv:1802.04977; Jangho-Kim/Factor-Transfer-pytorch.
    """
    teacher = ops.stop_gradient(unit_vectors(teacher_factor))
    difference = teacher - unit_vectors(student_factor)
    powers = ops.abs(difference) if p == 1 else ops.square(difference)
    if reduction == "sum":
        return ops.sum(powers, axis=1)
    mean = ops.mean(powers, axis=1)
    if reduction == "mean":
        return mean
    size = ops.cast(ops.shape(difference)[1], "float32")
    bound = 2.0 / ops.sqrt(size) if p == 1 else 4.0 / size
    return mean / bound


def attention_map(features: Any) -> Any:
    """Average squared features over channels: (B, H, W, C) -> (B, H*W).

    The activation map of Zagoruyko and Komodakis 2017 (arXiv:1612.03928),
    which RepDistiller also feeds to its version of factor transfer.

    Example:

    >>> from keras_ft import losses
    >>> np.asarray(losses.attention_map(np.array([[[[1.0, 3.0]]]])))
    array([[5.]], dtype=float32)
    """
    features = ops.cast(features, "float32")
    return flatten(ops.mean(ops.square(features), axis=-1))


def attention_distance(teacher_features: Any, student_features: Any) -> Any:
    """Return the mean squared difference of unit attention maps.

    Example:

    >>> from keras_ft import losses
    >>> left = np.array([1.0, 0.0]).reshape(1, 1, 2, 1)
    >>> right = np.array([0.0, 7.0]).reshape(1, 1, 2, 1)
    >>> np.asarray(losses.attention_distance(left, right))
    array([1.], dtype=float32)

    Reference:
        arXiv:1612.03928; szagoruyko/attention-transfer `at_loss`.
    """
    return factor_distance(
        attention_map(teacher_features), attention_map(student_features), p=2
    )


def soft_target_divergence(
    teacher_logits: Any, student_logits: Any, temperature: float = 4.0
) -> Any:
    """Return `T^2 * KL(softmax(t/T) || softmax(s/T))`, per example.

    The factor T^2 keeps the gradient's size independent of T.

    Args:
        teacher_logits: Tensor (batch, ..., classes), not probabilities.
        student_logits: Tensor of the same shape.
        temperature: T, above 0.

    Returns:
        Tensor (batch,), float32; the mean over further axes, if any.

    Example:

    >>> from keras_ft import losses
    >>> sure, unsure = np.array([[100.0, 0.0]]), np.array([[0.0, 0.0]])
    >>> divergence = losses.soft_target_divergence(sure, unsure, 1.0)
    >>> np.asarray(divergence).round(3)  # log(2)
    array([0.693], dtype=float32)

    Reference:
        Hinton, Vinyals and Dean 2015, arXiv:1503.02531.
    """
    teacher = ops.stop_gradient(_softened(teacher_logits, temperature))
    student = _softened(student_logits, temperature)
    return _per_example(_divergence(teacher, student)) * temperature**2


def bernoulli_divergence(
    teacher_logits: Any, student_logits: Any, temperature: float = 4.0
) -> Any:
    """Return `T^2 * KL(sigmoid(t/T) || sigmoid(s/T))`, per example.

    Each output is a yes or no of its own, two outcomes with the logits z and
    0: for one output this is `soft_target_divergence` of those two. Several
    labels are averaged, as `keras.losses.BinaryCrossentropy` does; the paper
    below sums them.

    Args:
        teacher_logits: Tensor (batch, ..., labels), not probabilities.
        student_logits: Tensor of the same shape.
        temperature: T, above 0.

    Returns:
        Tensor (batch,), float32.

    Example:

    >>> from keras_ft import losses
    >>> sure, unsure = np.array([[100.0]]), np.array([[0.0]])
    >>> divergence = losses.bernoulli_divergence(sure, unsure, 1.0)
    >>> np.asarray(divergence).round(3)  # log(2)
    array([0.693], dtype=float32)

    References:
        The temperature: Hinton, Vinyals and Dean 2015, arXiv:1503.02531. One
        binary divergence for each label: Yang, Xie, Zong, Feng, Niu, Sugiyama
        and Huang 2023, arXiv:2308.06453, multi-label logits distillation.
    """
    teacher = ops.stop_gradient(_softened(teacher_logits, temperature))
    student = _softened(student_logits, temperature)
    # log(sigmoid(z)) of both signs: 1 - sigmoid(z) would round to 0.
    yes = ops.log_sigmoid(teacher) - ops.log_sigmoid(student)
    no = ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student)
    divergence = ops.sigmoid(teacher) * yes + ops.sigmoid(-teacher) * no
    return _per_example(divergence) * temperature**2


def decoupled_divergence(
    teacher_logits: Any,
    student_logits: Any,
    temperature: float = 4.0,
    target_weight: float = 1.0,
    non_target_weight: float = 8.0,
) -> Any:
    """Return decoupled knowledge distillation's two divergences, weighted.

    `T^2 * (target_weight * TCKD + non_target_weight * NCKD)`, per example.
    With the probabilities `softmax(t/T)` and `softmax(s/T)`:

    - TCKD is the divergence of two outcomes, the target class or any other:
      how sure the teacher is.
    - NCKD is the divergence of the other classes alone, their probabilities
      divided by their sum. With two classes it is 0.

    Hinton's divergence is `TCKD + (1 - p) * NCKD`, where p is the teacher's
    probability of the target: it hides the other classes exactly where the
    teacher is sure.

    The target is the teacher's most probable class; the paper takes the
    label. They differ where the teacher is wrong; this one needs no labels.

    Args:
        teacher_logits: Tensor (batch, ..., classes), not probabilities.
        student_logits: Tensor of the same shape.
        temperature: T, above 0.
        target_weight: The paper's alpha.
        non_target_weight: The paper's beta.

    Returns:
        Tensor (batch,), float32; the mean over further axes, if any.

    Example:

    >>> from keras_ft import losses
    >>> teacher, student = np.zeros((2, 1, 3))
    >>> student[0, 0] = np.log(2.0)  # 1/2, 1/4, 1/4: all of it is TCKD
    >>> divergence = losses.decoupled_divergence(teacher, student, 1.0)
    >>> np.asarray(divergence).round(4)  # log(32/27) / 3
    array([0.0566], dtype=float32)

    Reference:
        Zhao, Cui, Song, Qiu and Liang 2022, arXiv:2203.08679;
        megvii-research/mdistiller a08d46f, `dkd_loss`.
    """
    teacher = ops.stop_gradient(_softened(teacher_logits, temperature))
    student = _softened(student_logits, temperature)
    best = ops.argmax(teacher, axis=-1)
    target = ops.one_hot(best, teacher.shape[-1]) > 0
    others = [
        ops.where(target, _IMPOSSIBLE, logits) for logits in (teacher, student)
    ]
    # Softmax makes of these two the target's probability and the others' sum.
    two = [
        ops.stack(
            [
                ops.sum(ops.where(target, logits, 0.0), axis=-1),
                ops.logsumexp(rest, axis=-1),
            ],
            axis=-1,
        )
        for logits, rest in zip((teacher, student), others, strict=True)
    ]
    divergence = target_weight * _divergence(*two)
    divergence += non_target_weight * _divergence(*others)
    return _per_example(divergence) * temperature**2


def standardized_logits(logits: Any) -> Any:
    """Return the logits' z-scores over the classes.

    `(z - mean) / (1e-7 + std)`, where the variance is divided by the number of
    classes less one, as PyTorch's is. Teacher and student then agree in mean
    and spread, and a student need not match the size of its teacher's logits.
    Where all classes are equal but for rounding, the z-scores are 0 with a
    zero gradient; the official code's gradient is NaN there.

    Args:
        logits: Tensor (batch, ..., classes), any float dtype.

    Returns:
        Tensor of the same shape, float32.

    Example:

    >>> from keras_ft import losses
    >>> found = losses.standardized_logits(np.array([[1.0, 2.0, 3.0]]))
    >>> np.asarray(found).round(4)
    array([[-1.,  0.,  1.]], dtype=float32)

    Reference:
        Sun, Ren, Li, Wang and Cao 2024, arXiv:2403.01427;
        sunshangquan/logit-standardization-KD f6e5aa5, `normalize`.
    """
    logits = ops.cast(logits, "float32")
    centered = logits - ops.mean(logits, axis=-1, keepdims=True)
    squares = ops.sum(ops.square(centered), axis=-1, keepdims=True)
    variance = squares / max(logits.shape[-1] - 1, 1)
    largest = ops.max(ops.abs(logits), axis=-1, keepdims=True)
    alive = variance > ops.square(_ROUNDING * largest)
    deviation = ops.sqrt(ops.where(alive, variance, 1.0))
    centered = ops.where(alive, centered, 0.0)
    return centered / (_DEVIATION_EPSILON + deviation)


def _softened(logits: Any, temperature: float) -> Any:
    return ops.cast(logits, "float32") / temperature


def _divergence(teacher_logits: Any, student_logits: Any) -> Any:
    """Return `KL(softmax(t) || softmax(s))` over the last axis."""
    teacher = ops.log_softmax(teacher_logits, axis=-1)
    student = ops.log_softmax(student_logits, axis=-1)
    return ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)


def _per_example(values: Any) -> Any:
    """Average over all axes but the first: a class per pixel has more."""
    if len(values.shape) > 1:
        values = ops.mean(flatten(values), axis=1)
    return values


def reconstruction_error(
    features: Any, reconstruction: Any, loss: str = "l1"
) -> Any:
    """Return the mean absolute or squared difference, per example.

    The official code trains the paraphraser on the absolute one (`"l1"`). The
    paper's equation is the squared L2 norm; `"l2"` divides it by the number
    of entries.

    Example:

    >>> from keras_ft import losses
    >>> features = np.zeros((1, 8, 8, 4))
    >>> np.asarray(losses.reconstruction_error(features, features + 2.0, "l2"))
    array([4.], dtype=float32)
    """
    difference = flatten(features) - flatten(reconstruction)
    powers = ops.abs(difference) if loss == "l1" else ops.square(difference)
    return ops.mean(powers, axis=1)


class _PerExampleMean(keras.losses.Loss):
    """Let Keras weigh, average and scale values that are already losses."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        del y_true
        return y_pred


def batch_mean(per_example: Any, sample_weight: Any = None) -> Any:
    """Reduce per-example losses exactly as Keras reduces its own.

    `sum(weight * loss) / batch`, divided by the number of replicas under a
    `tf.distribute` strategy: a bare mean trains differently on two devices.

    Args:
        per_example: Tensor (batch,).
        sample_weight: None, (batch,), (batch, 1), or (batch, ...) for dense
            tasks, whose mean per example is used.

    Returns:
        Scalar tensor, float32.

    Raises:
        InputError: `sample_weight` is a dictionary or list.

    Example:

    >>> from keras_ft import losses
    >>> per_example = np.array([1.0, 3.0], "float32")
    >>> float(losses.batch_mean(per_example, np.array([1.0, 0.0])))
    0.5
    """
    if isinstance(sample_weight, (dict, list, tuple)):
        raise InputError(
            "sample_weight",
            f"a {type(sample_weight).__name__} of weights, one per output",
            "one tensor with a weight per example",
            "Pass weights per example; they apply to every loss term.",
        )
    if sample_weight is not None:
        sample_weight = ops.mean(flatten(sample_weight), axis=1)
    reduce = _PerExampleMean(name="batch_mean", dtype="float32")
    return reduce(per_example, per_example, sample_weight)


class _LabelMask(keras.layers.Layer):
    """Mark which outputs have a label, the way Keras' own layers do."""

    def __init__(self) -> None:
        super().__init__(autocast=False, name="label_mask")
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs[0]

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return inputs[1]


def with_mask(outputs: Any, known: Any) -> Any:
    """Return outputs of which Keras' metrics count those that are `known`.

    Args:
        outputs: Tensor (batch, ..., classes).
        known: Booleans (batch, ...).

    Returns:
        The outputs, with a Keras mask. Metrics that are means of one value
        per example obey it, as accuracy; others, as AUC, count everything.

    Example:

    >>> from keras_ft import losses
    >>> outputs = losses.with_mask(np.eye(2), np.array([True, False]))
    >>> accuracy = keras.metrics.SparseCategoricalAccuracy()
    >>> float(accuracy(np.array([0, 0]), outputs))
    1.0
    """
    return _LabelMask()((outputs, known))


def share_of_all(known: Any) -> Any:
    """Return what turns a replica's mean over known labels into its share.

    The mean over the labels of all replicas is the sum of `share_of_all *
    mean / replicas`. It is 1 on one device, and where all replicas have as
    many labels.

    Args:
        known: Booleans of any shape.

    Returns:
        Scalar tensor, float32.

    Example:

    >>> from keras_ft import losses
    >>> float(losses.share_of_all(np.array([True, False])))
    1.0
    """
    count = ops.sum(ops.cast(known, "float32"))
    if replicas() == 1:
        return ops.ones_like(count)
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None:  # Keras builds the model's metrics outside of replicas.
        return ops.ones_like(count)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, count)
    return ops.divide_no_nan(count * replicas(), total)


@keras.saving.register_keras_serializable(package="keras_ft")
class ClassWeightedSparseCrossentropy(
    keras.losses.SparseCategoricalCrossentropy
):
    """Weigh each label's cross-entropy by its class.

    What Keras' `class_weight` does in `fit`, in the loss: so it weighs the
    labels' term alone, and not what a teacher teaches, and holds in
    validation as well.

    Args:
        class_weights: One number of at least 0 per class, by index.
        **kwargs: Of `keras.losses.SparseCategoricalCrossentropy`.

    Example:

    >>> from keras_ft import losses
    >>> loss = losses.ClassWeightedSparseCrossentropy(
    ...     [1.0, 3.0], from_logits=True)
    >>> round(float(loss(np.array([0, 1]), np.zeros((2, 2)))), 3)
    1.386
    """

    def __init__(self, class_weights: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.class_weights = [float(weight) for weight in class_weights]

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        labels = ops.convert_to_tensor(y_true)
        if len(labels.shape) == len(y_pred.shape) and labels.shape[-1] == 1:
            labels = ops.squeeze(labels, -1)
        # Not by `take`: a label of -1 has no place there. It gets 0.
        rows = ops.one_hot(ops.cast(labels, "int32"), len(self.class_weights))
        weights = ops.sum(rows * ops.convert_to_tensor(self.class_weights), -1)
        if sample_weight is not None:
            given = ops.cast(sample_weight, weights.dtype)
            weights = weights * ops.reshape(given, ops.shape(weights))
        return super().__call__(y_true, y_pred, weights)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_weights": self.class_weights}


@keras.saving.register_keras_serializable(package="keras_ft")
class ClassWeightedCrossentropy(keras.losses.CategoricalCrossentropy):
    """Weigh the cross-entropy of rows of probabilities by their classes.

    As `ClassWeightedSparseCrossentropy`; of a mixed label each part has the
    weight of its class.

    Args:
        class_weights: One number of at least 0 per class, by index.
        **kwargs: Of `keras.losses.CategoricalCrossentropy`.

    Example:

    >>> from keras_ft import losses
    >>> loss = losses.ClassWeightedCrossentropy([1.0, 3.0], from_logits=True)
    >>> round(float(loss(np.array([[0.5, 0.5]]), np.zeros((1, 2)))), 3)
    1.386
    """

    def __init__(self, class_weights: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.class_weights = [float(weight) for weight in class_weights]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        weights = ops.convert_to_tensor(self.class_weights, y_true.dtype)
        return super().call(y_true * weights, y_pred)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "class_weights": self.class_weights}


def replicas() -> int:
    """Return the current strategy's replicas in sync, 1 without one.

    Example:

    >>> from keras_ft import losses
    >>> losses.replicas()
    1
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync)
