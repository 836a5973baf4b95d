"""Factor Transfer on several machines, from Python.

    python examples/launch_workers.py --workers=2 -- \\
        python examples/several_machines.py --epochs=2

Run it on every machine with TF_CONFIG set; the launcher does so on one. When a
worker is lost the others stop; started again, all of them continue.
"""

import keras
from absl import app
from absl import flags

import keras_ft

EPOCHS = flags.DEFINE_integer("epochs", 2, "Of each phase.", lower_bound=1)
IMAGES = flags.DEFINE_integer("train_examples", 1000, "Training images.")
FOLDER = flags.DEFINE_string("folder", "runs/several", "For the chief's files.")


def main(_: list[str]) -> None:
    # Before anything else of TensorFlow; waits for all workers.
    strategy = keras_ft.multi_worker.strategy()
    # Whole batches only: the workers share each one equally.
    data = keras_ft.data.load(
        "fashion_mini",
        batch_size=64,
        drop_remainder=True,
        train_examples=IMAGES.value,
    )
    shape = {"classes": data.classes, "input_shape": data.input_shape}
    with strategy.scope():
        teacher = keras_ft.zoo.pretrained("fashion_mini")
        student = keras_ft.zoo.resnet8(**shape)
        paraphraser = keras_ft.Paraphraser(rate=0.5)
        phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
        phase1.compile(keras.optimizers.SGD(0.1, momentum=0.9))
        model = keras_ft.FactorTransfer(teacher, student, paraphraser)
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    for name, trained in (("paraphrase", phase1), ("distill", model)):
        keras_ft.multi_worker.fit(
            trained,
            data.train_from,
            steps_per_epoch=data.steps_per_epoch,
            validation_data=data.validation,
            epochs=EPOCHS.value,
            checkpoint_dir=f"{FOLDER.value}/{name}",
            verbose=2,
        )
    if keras_ft.multi_worker.is_chief(strategy):
        student.save(f"{FOLDER.value}/student.keras")


if __name__ == "__main__":
    app.run(main)
