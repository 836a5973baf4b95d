"""Factor Transfer from Python, on the images that come with the package.

    python examples/quickstart.py

The same as `keras-ft demo`, without run folder and report: a teacher, both
phases, the student alone for comparison, and a .tflite file that was run
before it was handed over. A few minutes on two cores.
"""

import keras
from absl import app
from absl import flags

import keras_ft

EPOCHS = flags.DEFINE_integer("epochs", 20, "Phase 2, and the student alone.")
PARAPHRASE_EPOCHS = flags.DEFINE_integer("paraphrase_epochs", 10, "Phase 1.")
TRAIN_EXAMPLES = flags.DEFINE_integer("train_examples", None, "Fewer images.")
OUT = flags.DEFINE_string("out", "student.tflite", "Where the student goes.")
SEED = 0


def main(_):
    data = keras_ft.data.load(
        "fashion_mini", seed=SEED, train_examples=TRAIN_EXAMPLES.value
    )
    teacher = keras_ft.zoo.pretrained("fashion_mini")
    recipe = keras_ft.Recipe.preset("official").short(
        PARAPHRASE_EPOCHS.value, EPOCHS.value
    )

    # Phase 1: the paraphraser compresses the teacher's features, unlabelled.
    paraphraser = recipe.paraphraser()
    phase1 = recipe.paraphraser_trainer(teacher, paraphraser)
    phase1.compile(recipe.paraphrase.optimizer(data.steps_per_epoch))
    phase1.fit(data.train, epochs=recipe.paraphrase.epochs)

    # Phase 2: the student learns from labels and factors. The student alone
    # starts from the same weights.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    accuracies = {}
    for name in ("alone", "distilled"):
        keras.utils.set_random_seed(SEED)
        student = keras_ft.zoo.resnet8(
            classes=data.classes, input_shape=data.input_shape
        )
        model = student
        if name == "distilled":
            model = recipe.distiller(teacher, student, paraphraser)
        optimizer = recipe.distill.optimizer(data.steps_per_epoch)
        model.compile(optimizer, loss, metrics=["accuracy"])
        model.fit(
            data.train_from(0),
            steps_per_epoch=data.steps_per_epoch,
            validation_data=data.validation,
            epochs=recipe.distill.epochs,
            shuffle=False,
        )
        logs = model.evaluate(data.test, return_dict=True)
        accuracies[name] = logs["accuracy"]

    images, labels = data.examples("validation", 128)
    result = keras_ft.export.to_tflite(
        student,
        OUT.value,
        normalization=data.normalization,
        class_names=data.class_names,
        samples=images,
        labels=labels,
    )
    for name, accuracy in accuracies.items():
        print(f"student {name}: {accuracy:.2%} of the test images")
    print(f"{result.path}: {result.bytes:,} bytes")


if __name__ == "__main__":
    app.run(main)
