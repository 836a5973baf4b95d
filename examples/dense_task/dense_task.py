"""Factor Transfer on a task that is not classification: segmentation.

    python examples/dense_task/dense_task.py

The paper's third experiment adds a factor term to a detector and leaves the
detector's own loss alone. The same in small, with a class for every pixel: a
thin U-Net keeps its own loss, cross-entropy per pixel plus Dice, and learns
from the factors of a wide one at the bottleneck of both. It is trained with and
without the factor term from the same weights, on the same scenes in the same
order.

The data need no download and are real in part only: the garments are photos of
Fashion-MNIST, those that come with the package; the scenes they lie in are
composed by `scenes.py`. Training scenes are composed anew in each epoch from
the training photos, test scenes once from the test photos.

With `--labelled_scenes` the teacher has many scenes and the student few: so
many scenes with classes, composed once, and new ones without classes in the
rest of each batch, of which only the teacher says something. `--methods` adds
knowledge distillation (KD), here for each pixel.

Prints the mean intersection over union (mIoU) of the classes on the test scenes
after the last epoch, the differences and a verdict in words; `--out` keeps them
as JSON and Markdown, `--picture` shows some scenes. At the end `--tflite`
writes the last student as a file for phones, which gives each pixel's
probabilities and is compared with Keras pixel by pixel. Five seeds of two
methods take ten minutes on two cores.
"""

import statistics
import time

import keras
import numpy as np
import outcome
from absl import app
from absl import flags
from keras import layers
from keras import ops
from scenes import CLASSES
from scenes import SIZE
from scenes import Scenes

import keras_ft
from keras_ft.artifacts import write_json
from keras_ft.artifacts import write_text

SEEDS = flags.DEFINE_integer("seeds", 5, "Students of each kind.", 1)
EPOCHS = flags.DEFINE_integer("epochs", 20, "Of each student.", 1)
TEACHER_EPOCHS = flags.DEFINE_integer("teacher_epochs", 30, "Its training.", 1)
PARAPHRASE_EPOCHS = flags.DEFINE_integer("paraphrase_epochs", 2, "Phase 1.", 1)
SCENES = flags.DEFINE_integer("scenes", 1024, "In an epoch.", 16)
LABELLED = flags.DEFINE_integer(
    "labelled_scenes", None, "So many have classes; by default all.", 1
)
METHODS = flags.DEFINE_list(
    "methods", ["none", "ft"], "Some of none, kd, ft and ft+kd."
)
TEST_SCENES = flags.DEFINE_integer("test_scenes", 512, "To measure on.", 16)
SPLIT = flags.DEFINE_enum(
    "split", "test", ["test", "validation"], "Photos of the test scenes."
)
WIDTH = flags.DEFINE_integer("width", 8, "Channels of a student's stem.", 1)
TEACHER_WIDTH = flags.DEFINE_integer("teacher_width", 24, "The teacher's.", 1)
BETA = flags.DEFINE_float("beta", 500.0, "Weight of the factor term.", 0)
RATE = flags.DEFINE_float("learning_rate", 0.01, "It falls linearly to 0.", 0)
OUT = flags.DEFINE_string("out", None, "Results, a path without an ending.")
PICTURE = flags.DEFINE_string("picture", None, "Test scenes, a PNG file.")
TFLITE = flags.DEFINE_string(
    "tflite", "segmenter.tflite", "The last student's file; empty for none."
)

TAP = "bottleneck"
NAMES = {
    "none": "plain",
    "kd": "KD",
    "ft": "Factor Transfer",
    "ft+kd": "Factor Transfer and KD",
}
# Of the 16 scenes in a batch, where only some have classes.
LABELLED_PER_BATCH = 4


def convolution(x, width, strides=1, name=None):
    """Apply a 3x3 convolution, batch normalization and ReLU."""
    x = layers.Conv2D(
        width, 3, strides=strides, padding="same", use_bias=False
    )(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU(name=name)(x)


def u_net(width, name):
    """Return a U-Net that scores each class for each pixel."""
    image = keras.Input((SIZE, SIZE, 1))
    half = convolution(convolution(image, width, 2), width)
    quarter = convolution(convolution(half, 2 * width, 2), 2 * width)
    deep = convolution(quarter, 4 * width, 2)
    deep = convolution(deep, 4 * width, name=TAP)
    x = layers.Concatenate()([layers.UpSampling2D()(deep), quarter])
    x = convolution(x, 2 * width)
    x = layers.Concatenate()([layers.UpSampling2D()(x), half])
    scores = layers.Conv2D(CLASSES, 1)(convolution(x, width))
    scores = layers.UpSampling2D(interpolation="bilinear")(scores)
    return keras.Model(image, scores, name=name)


def segmentation_loss(classes, scores):
    """Return cross-entropy per pixel plus Dice per class, for each scene.

    Their mean is that of the scenes with classes; the others have -1.
    """
    known = ops.cast(classes[:, 0, 0] >= 0, scores.dtype)
    classes = ops.maximum(ops.cast(classes, "int32"), 0)
    cross_entropy = keras.losses.sparse_categorical_crossentropy(
        classes, scores, from_logits=True
    )
    dice = keras.losses.dice(
        ops.one_hot(classes, CLASSES), ops.softmax(scores), axis=(1, 2)
    )
    each = ops.mean(cross_entropy, axis=(1, 2)) + ops.mean(dice, axis=1)
    return each * known / ops.mean(known)


def distiller(method, teacher, student, paraphraser):
    """Return what trains a student: itself, or with terms of the teacher."""
    parts = method.split("+")
    terms = []
    if "ft" in parts:
        terms.append(
            keras_ft.transfers.FactorMatch(
                paraphraser,
                beta=BETA.value,
                teacher_layer_name=TAP,
                student_layer_name=TAP,
            )
        )
    if "kd" in parts:
        terms.append(keras_ft.transfers.SoftTargets(temperature=4.0, beta=0.9))
    if not terms:
        return student
    return keras_ft.Distiller(
        teacher, student, terms, task_weight=0.1 if "kd" in parts else 1.0
    )


def train(model, scenes, epochs):
    """Train with the network's own loss; return the seconds."""
    steps = epochs * len(scenes)
    falling = keras.optimizers.schedules.PolynomialDecay(RATE.value, steps, 0.0)
    model.compile(
        keras.optimizers.Adam(falling),
        segmentation_loss,
        metrics=[
            keras.metrics.MeanIoU(
                CLASSES, ignore_class=-1, sparse_y_pred=False, name="mean_iou"
            )
        ],
    )
    begun = time.perf_counter()
    # Keras would draw the order from a generator that making the distiller
    # has drawn from.
    model.fit(scenes, epochs=epochs, verbose=2, shuffle=False)
    return time.perf_counter() - begun


def paraphrase(teacher, scenes):
    """Train phase 1, without labels; return the seconds too."""
    paraphraser = keras_ft.Paraphraser(rate=0.5)
    phase1 = keras_ft.ParaphraserTrainer(
        teacher, paraphraser, teacher_layer_name=TAP
    )
    phase1.compile(keras_ft.CoupledSGD(0.1, momentum=0.9, weight_decay=5e-4))
    begun = time.perf_counter()
    phase1.fit(scenes, epochs=PARAPHRASE_EPOCHS.value, verbose=2, shuffle=False)
    return paraphraser, time.perf_counter() - begun


def main(_):
    data = keras_ft.data.arrays("fashion_mini")
    photos = getattr(data, SPLIT.value)
    test = Scenes(photos, TEST_SCENES.value, seed=0, anew=False)

    def training_scenes(seed, method=None):
        if method is None or LABELLED.value is None:
            return Scenes(data.train, SCENES.value, seed)
        # Labels only has whole batches of them, and as many batches.
        few = None if method == "none" else LABELLED_PER_BATCH
        known = {"pool": LABELLED.value, "labelled_per_batch": few}
        return Scenes(data.train, SCENES.value, seed, **known)

    def measured(model):
        logs = model.evaluate(test, return_dict=True, verbose=0)
        return float(logs["mean_iou"])

    # No student's seed.
    keras.utils.set_random_seed(1000)
    teacher = u_net(TEACHER_WIDTH.value, "teacher")
    seconds = {
        "teacher": train(teacher, training_scenes(1000), TEACHER_EPOCHS.value)
    }
    teacher_value = measured(teacher)
    print(f"teacher: mIoU {teacher_value:.2%}", flush=True)
    paraphraser, seconds["phase 1"] = paraphrase(teacher, training_scenes(1001))

    values = {NAMES[method]: [] for method in METHODS.value}
    times = {name: [] for name in values}
    for seed in range(SEEDS.value):
        networks = {"teacher": teacher}
        for method in METHODS.value:
            name = NAMES[method]
            keras.utils.set_random_seed(seed)
            networks[name] = u_net(WIDTH.value, "student")
            model = distiller(method, teacher, networks[name], paraphraser)
            scenes = training_scenes(seed, method)
            times[name].append(train(model, scenes, EPOCHS.value))
            values[name].append(measured(model))
            print(
                f"seed {seed}, {name}: mIoU {values[name][-1]:.2%}", flush=True
            )

    seconds |= {name: statistics.median(times[name]) for name in times}
    report(teacher_value, values, seconds)
    if PICTURE.value:
        outcome.draw(PICTURE.value, test, networks)
    if TFLITE.value:
        export(networks[name], data.normalization, training_scenes(0), test)


def export(student, normalization, training, test):
    """Write a student as a file that takes pixels 0..255."""
    scale, shift = normalization.scale_and_shift()

    def pixels(scenes):
        # Noise below black and above white is cut off, as a camera does.
        images = (np.concatenate([x for x, _ in scenes]) - shift) / scale
        return np.clip(np.rint(images), 0, 255)

    def batches(scenes):
        return [scenes[i] for i in range(min(len(scenes), 8))]

    result = keras_ft.export.to_tflite(
        student,
        TFLITE.value,
        "int8",
        calibration=pixels(batches(training)),
        normalization=normalization,
        samples=pixels(batches(test)),
        labels=np.concatenate([classes for _, classes in batches(test)]),
        activation="softmax",
        fallback="none",
    )
    print(
        f"{result.path}: {result.bytes:,} bytes, {result.quantization}; it "
        f"calls {result.agreement:.2%} of the pixels as Keras does and "
        f"{result.accuracy:.2%} rightly, Keras {result.keras_accuracy:.2%}"
    )


def report(teacher_value, values, seconds):
    """Print what was measured, and keep it where `--out` says."""
    small, large = (
        u_net(flag.value, "network").count_params()
        for flag in (WIDTH, TEACHER_WIDTH)
    )
    times = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())
    few = ""
    if LABELLED.value is not None:
        few = (
            f" {LABELLED.value} scenes have classes, {LABELLED_PER_BATCH} of "
            "16 in a batch; plain training has those alone, 16 in a batch."
        )
    text = (
        f"# Segmentation: {', '.join(values)}\n\n"
        f"Mean IoU on {TEST_SCENES.value} scenes of {SPLIT.value} photos after "
        f"{EPOCHS.value} epochs of {SCENES.value} scenes.{few} A student of "
        f"{small:,} parameters; a teacher of {large:,}, which has "
        f"{teacher_value:.2%}. beta {BETA.value:g}.\n\n"
        f"{outcome.table(values)}\n\n"
        f"Seconds of training, median of the seeds: {times}.\n"
    )
    print(f"\n{text}")
    if OUT.value:
        own = flags.FLAGS.get_key_flags_for_module(__name__)
        results = {
            "settings": {flag.name: flag.value for flag in own},
            "versions": {
                "keras": keras.__version__,
                "keras_ft": keras_ft.__version__,
                "backend": keras.backend.backend(),
            },
            "teacher": teacher_value,
            "mean_iou": values,
            "seconds": seconds,
        }
        write_json(f"{OUT.value}.json", results)
        write_text(f"{OUT.value}.md", text)


if __name__ == "__main__":
    app.run(main)
