"""One whole training step against float64 NumPy and finite differences."""

import keras
import numpy as np
from keras import layers

from keras_ft import CoupledSGD
from keras_ft import FactorTransfer
from keras_ft import Paraphraser

BETA, RATE, DECAY = 20.0, 0.3, 0.01


def convolve(x, kernel, bias):
    """A 3x3 convolution of stride 1 with zero padding."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = x.shape[1:3]
    total = np.zeros((*x.shape[:3], kernel.shape[-1]))
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + height, column : column + width]
            total += window @ kernel[row, column]
    return total + bias


def tower(x, weights):
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        x = convolve(x, kernel, bias)
        x = np.where(x > 0, x, 0.1 * x)
    return x


def unit(factor):
    flat = factor.reshape(len(factor), -1)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def total_loss(weights, images, labels, teacher_factor):
    """CE + beta * FT as in the paper's equation, divided by the size."""
    features = np.maximum(convolve(images, *weights[:2]), 0)
    logits = features.mean(axis=(1, 2)) @ weights[2] + weights[3]
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(
        np.exp(shifted).sum(axis=1, keepdims=True)
    )
    task = -log_probabilities[np.arange(len(labels)), labels].mean()
    gap = unit(teacher_factor) - unit(tower(features, weights[4:]))
    return task + BETA * np.abs(gap).mean()


def gradients(weights, *data):
    result = [np.zeros_like(weight) for weight in weights]
    for weight, gradient in zip(weights, result, strict=True):
        for index in np.ndindex(*weight.shape):
            original = weight[index]
            weight[index] = original + 1e-6
            high = total_loss(weights, *data)
            weight[index] = original - 1e-6
            low = total_loss(weights, *data)
            weight[index] = original
            gradient[index] = (high - low) / 2e-6
    return result


def classifier(channels):
    image = keras.Input((4, 4, 2))
    x = layers.Conv2D(channels, 3, padding="same")(image)
    x = layers.ReLU(name="features")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3)(x))


def test_a_training_step_equals_float64_numpy():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(5, 4, 4, 2))
    labels = rng.integers(0, 3, size=5)
    teacher, student = classifier(4), classifier(3)
    paraphraser = Paraphraser(rate=0.5)
    paraphraser.trained = True
    model = FactorTransfer(teacher, student, paraphraser, beta=BETA)
    model.compile(
        CoupledSGD(RATE, momentum=0.9, weight_decay=DECAY),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def exact(layer):
        return [weight.astype("float64") for weight in layer.get_weights()]

    teacher_weights = exact(teacher)
    features = np.maximum(convolve(images, *teacher_weights[:2]), 0)
    factor = tower(features, exact(paraphraser.encoder))
    weights = exact(student) + exact(model.translator)
    data = (images, labels, factor)
    expected_loss = total_loss(weights, *data)
    expected = [
        weight - RATE * (gradient + DECAY * weight)
        for weight, gradient in zip(
            weights, gradients(weights, *data), strict=True
        )
    ]
    logs = model.train_on_batch(images, labels, return_dict=True)
    assert abs(float(logs["loss"]) - expected_loss) < 1e-5
    updated = student.get_weights() + model.translator.get_weights()
    for ours, theirs in zip(updated, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
