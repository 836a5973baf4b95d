"""Factor Transfer on JAX, without TensorFlow, on the embedded images.

    python examples/jax_quickstart.py

Needs keras_ft, Keras and JAX; README says how to install them without
TensorFlow. A short run of about a minute on two cores: it shows the way, not
what Factor Transfer can do. The student is saved as a plain Keras file, which
keras_ft.export.to_tflite turns into a .tflite file where TensorFlow is.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # before Keras is imported

import keras
from absl import app
from absl import flags

import keras_ft

EPOCHS = flags.DEFINE_integer("epochs", 3, "Phase 2.")
PARAPHRASE_EPOCHS = flags.DEFINE_integer("paraphrase_epochs", 1, "Phase 1.")
TRAIN_EXAMPLES = flags.DEFINE_integer("train_examples", 2000, "Images.")
OUT = flags.DEFINE_string("out", "student.keras", "Where the student goes.")
SEED = 0


def main(_):
    keras.utils.set_random_seed(SEED)
    data = keras_ft.data.arrays(
        "fashion_mini", train_examples=TRAIN_EXAMPLES.value
    )
    teacher = keras_ft.zoo.pretrained("fashion_mini")
    student = keras_ft.zoo.resnet8(
        classes=data.classes, input_shape=data.input_shape
    )
    recipe = keras_ft.Recipe.preset("official").short(
        PARAPHRASE_EPOCHS.value, EPOCHS.value
    )
    images, labels = data.train

    # Phase 1: the paraphraser compresses the teacher's features, unlabelled.
    paraphraser = recipe.paraphraser()
    phase1 = recipe.paraphraser_trainer(teacher, paraphraser)
    batch_size = recipe.paraphrase.batch_size
    steps = -(-len(images) // batch_size)
    phase1.compile(recipe.paraphrase.optimizer(steps))
    phase1.fit(images, batch_size=batch_size, epochs=recipe.paraphrase.epochs)

    # Phase 2: the student learns from labels and factors.
    model = recipe.distiller(teacher, student, paraphraser)
    batch_size = recipe.distill.batch_size
    model.compile(
        recipe.distill.optimizer(-(-len(images) // batch_size)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        images,
        labels,
        batch_size=batch_size,
        epochs=recipe.distill.epochs,
        validation_data=data.validation,
    )
    logs = model.evaluate(*data.test, return_dict=True)
    model.student.save(OUT.value)
    print(f"student: {logs['accuracy']:.2%} of the test images")
    print(f"{OUT.value}: {os.path.getsize(OUT.value):,} bytes")


if __name__ == "__main__":
    app.run(main)
