"""Contenders on Keras and TensorFlow: plain training, ours, Keras' own."""

import contenders
import keras
import numpy as np
import tensorflow as tf

import keras_ft

BATCHES = 4


def build(task):
    """Return two functions: to run steps, and to tell about the contender.

    A turn is one whole `fit`, with all that Keras and keras_ft do around the
    steps.
    """
    keras.utils.set_random_seed(0)
    options = task["options"]
    # A trained teacher is loaded with the float32 it was saved with.
    teacher = network(task["teacher"])
    keras.config.set_dtype_policy(options["policy"])
    student = network(task["student"])
    # Before Keras' Distiller freezes the teacher.
    parameters = [trainable(teacher), trainable(student)]
    tap = default_tap(teacher)
    stream = batches(task["batch"], teacher, tap, options.get("cached"))
    model = MODELS[options["kind"]](teacher, student, options)

    def steps(count):
        model.fit(stream, steps_per_epoch=count, epochs=1, verbose=0)

    def facts():
        return {
            "versions": {
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
            },
            "parameters": parameters,
            "accelerated": getattr(model, "accelerated", None),
        }

    return steps, facts


def network(name):
    return keras_ft.zoo.build(name, contenders.CLASSES, contenders.IMAGE)


def default_tap(model):
    return next(tap for tap in keras_ft.taps(model) if tap.default)


def trainable(model):
    return int(sum(np.prod(v.shape) for v in model.trainable_variables))


def batches(size, teacher, tap, cached):
    """Return the same few random batches in memory, over and over."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(BATCHES, size, *contenders.IMAGE))
    images = images.astype("float32")
    labels = rng.integers(0, contenders.CLASSES, (BATCHES, size))
    x = images
    if cached:
        # As a FeatureCache hands them out.
        watched = keras.Model(teacher.inputs[0], tap.tensor)
        # Few images at once: this is not to decide about peak memory.
        flat = images.reshape(-1, *contenders.IMAGE)
        features = watched.predict(flat, batch_size=8, verbose=0)
        features = features.reshape(BATCHES, size, *features.shape[1:])
        x = {"images": images, "features": {tap.name: features}}
    data = tf.data.Dataset.from_tensor_slices((x, labels.astype("int32")))
    # There is nothing to tune, and the tuner can hold up the end of a `fit`:
    # keras_ft/data/pipeline.py says how.
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.repeat().prefetch(2).with_options(options)


def compiled(model, optimizer):
    return model.compile(
        optimizer(
            contenders.LEARNING_RATE,
            momentum=contenders.MOMENTUM,
            weight_decay=contenders.WEIGHT_DECAY,
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def plain(teacher, student, options):
    compiled(student, keras.optimizers.SGD)
    return student


def stock(teacher, student, options):
    """Return Keras' Distiller on the taps that Factor Transfer would use."""
    taps = [default_tap(model) for model in (teacher, student)]
    if taps[0].shape != taps[1].shape:
        # FeatureDistillation has no projection; no pair here needs one.
        raise ValueError(f"features of {taps[0].shape} and {taps[1].shape}")
    model = keras.distillation.Distiller(
        teacher,
        student,
        keras.distillation.FeatureDistillation(
            loss="mse",
            teacher_layer_name=taps[0].name,
            student_layer_name=taps[1].name,
        ),
    )
    compiled(model, keras.optimizers.SGD)
    return model


def distil(teacher, student, options):
    paraphraser = keras_ft.Paraphraser(rate=contenders.RATE)
    # Random weights take as long as trained ones.
    paraphraser.trained = True
    model = keras_ft.FactorTransfer(
        teacher,
        student,
        paraphraser,
        beta=contenders.BETA,
        acceleration=options["acceleration"],
    )
    compiled(model, keras_ft.CoupledSGD)
    return model


def paraphrase(teacher, student, options):
    model = keras_ft.ParaphraserTrainer(
        teacher,
        keras_ft.Paraphraser(rate=contenders.RATE),
        acceleration=options["acceleration"],
    )
    model.compile(
        keras_ft.CoupledSGD(
            contenders.LEARNING_RATE,
            momentum=contenders.MOMENTUM,
            weight_decay=contenders.WEIGHT_DECAY,
        )
    )
    return model


MODELS = {
    "plain": plain,
    "stock": stock,
    "distil": distil,
    "paraphrase": paraphrase,
}
