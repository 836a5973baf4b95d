"""An epoch of any training as one compiled function of its state, on JAX."""

import math

import jax
import jax.numpy as jnp
import keras
from jax import lax

PADDING = 4


class CompiledEpoch:
    """Train a compiled Keras model on the device for an epoch, and score it.

    Images lie on the device as bytes. Their order and their views (padded by
    four zero pixels, cropped, flipped) are functions of seed, epoch and step,
    drawn within the step; a last batch may be smaller. The function holds no
    weights: one serves every seed.

    Args:
        model: What is trained, such as a `FactorTransfer`, compiled.
        student: Its part whose test accuracy is wanted, or None.
        data: A `Packed`.
        batch_size: Images per step.
    """

    def __init__(self, model, student, data, batch_size):
        self._model, self._student = model, student
        self._scale, self._shift = data.normalization.scale_and_shift()
        self._batch_size = batch_size
        self._train = jax.device_put(data.train)
        self._test = jax.device_put(data.test)
        # The state's memory is used again.
        self._epoch = jax.jit(self._whole_epoch, donate_argnums=0)

    def __call__(self, state, seed, epoch):
        """Return the new state, the mean loss, and the test accuracy if any."""
        arguments = (state, self._train, self._test, seed, epoch)
        state, loss, right = self._epoch(*arguments)
        accuracy = None
        if self._student is not None:
            accuracy = int(right) / len(self._test[1])
        return state, float(loss), accuracy

    def _whole_epoch(self, state, train, test, seed, epoch):
        images, labels = train
        count, size = len(labels), self._batch_size
        key = jax.random.fold_in(jax.random.key(seed), epoch)
        shuffling, views = jax.random.split(key)
        order = jax.random.permutation(shuffling, count)
        # Zeros: the metrics begin anew.
        metrics = [
            jnp.zeros(v.shape, v.dtype) for v in self._model.metrics_variables
        ]

        def step(state, inputs):
            number, chosen = inputs
            view = jax.random.fold_in(views, number)
            pixels = augmented(view, images[chosen])
            batch = (self._normalized(pixels), labels[chosen])
            logs, state = self._model.train_step(state, batch)
            return state, logs["loss"]

        full = count // size
        batches = order[: full * size].reshape(full, size)
        state, losses = lax.scan(
            step, (*state, metrics), (jnp.arange(full), batches)
        )
        loss = losses[-1]
        if count % size:
            state, loss = step(state, (full, order[full * size :]))
        *state, _ = state
        return tuple(state), loss, self._right(state, *test)

    def _normalized(self, pixels):
        return pixels.astype("float32") * self._scale + self._shift

    def _right(self, state, images, labels):
        """Return how many images the student gets right."""
        if self._student is None:
            return 0
        student = self._student
        values = _by_variable(self._model, state)
        weights = [
            [values[id(v)] for v in variables]
            for variables in (
                student.trainable_variables,
                student.non_trainable_variables,
            )
        ]

        def right(batch):
            outputs, _ = student.stateless_call(
                *weights, self._normalized(batch[0]), training=False
            )
            return jnp.sum(jnp.argmax(outputs, -1) == batch[1])

        size = math.gcd(len(labels), 1000)
        batches = [a.reshape(-1, size, *a.shape[1:]) for a in (images, labels)]
        return jnp.sum(lax.map(right, tuple(batches)))


def augmented(key, images):
    """Pad, crop and flip images (B, H, W, C): one of 162 views of each."""
    side = 2 * PADDING + 1
    views = jax.random.randint(key, len(images), 0, 2 * side * side)
    edges = ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0))

    def one(padded, view):
        crop = view // 2
        start = (crop // side, crop % side, 0)
        image = lax.dynamic_slice(padded, start, images.shape[1:])
        return jnp.where(view % 2, image[:, ::-1], image)

    return jax.vmap(one)(jnp.pad(images, edges), views)


def initial_state(model):
    """Return copies of a compiled model's variables, without its metrics'."""
    model.optimizer.build(model.trainable_variables)
    lists = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
    )
    # Copies, as a step uses its state's memory again.
    return tuple([jnp.copy(v.value) for v in vs] for vs in lists)


def assign(layer, model, state):
    """Set a layer's weights to those that a model's state has for them."""
    values = _by_variable(model, state)
    for variable in layer.variables:
        variable.assign(values[id(variable)])


def _by_variable(model, state):
    """Return the value in a model's state of each variable, by its id."""
    lists = (model.trainable_variables, model.non_trainable_variables)
    return {
        id(variable): value
        for variables, values in zip(lists, state[:2], strict=True)
        for variable, value in zip(variables, values, strict=True)
    }


def teacher_accuracy(data):
    """Return part of the test images that the teacher gets right."""
    images = data.normalization.apply(data.test[0])
    outputs = data.teacher.predict(images, batch_size=500, verbose=0)
    return float((outputs.argmax(-1) == data.test[1]).mean())


def device():
    """Return what the bits of a result depend on."""
    return {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "keras": keras.__version__,
    }
