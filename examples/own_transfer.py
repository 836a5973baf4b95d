"""A distillation term of your own, beside Factor Transfer.

    python examples/own_transfer.py

A transfer compares the tapped feature maps and returns one loss per example;
weights, averaging, sample weights, logging and files are taken care of. This
one asks the student to rank pairs of images by similarity as the teacher does
(Tung and Mori 2019, arXiv:1907.09682, with rows normalized per image).
"""

import keras
from absl import app
from absl import flags
from keras import ops

import keras_ft
from keras_ft.losses import unit_vectors

EPOCHS = flags.DEFINE_integer("epochs", 3, "Each phase.")
TRAIN_EXAMPLES = flags.DEFINE_integer("train_examples", 2000, "Images.")


class SimilarityMatch(keras_ft.transfers.Transfer):
    """Mean squared difference of the rows of two similarity matrices."""

    term = "similarity"

    def call(self, teacher, student):
        difference = self.rows(teacher) - self.rows(student)
        return ops.mean(ops.square(difference), axis=1)

    def rows(self, features):
        flat = unit_vectors(features)
        return unit_vectors(flat @ ops.transpose(flat))


def main(_):
    data = keras_ft.data.load(
        "fashion_mini", train_examples=TRAIN_EXAMPLES.value
    )
    teacher = keras_ft.zoo.pretrained("fashion_mini")
    student = keras_ft.zoo.resnet8(data.classes, data.input_shape)
    print(keras_ft.taps(student))

    paraphraser = keras_ft.Paraphraser(rate=0.5)
    phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    phase1.compile(keras_ft.CoupledSGD(0.1, momentum=0.9))
    phase1.fit(data.train, epochs=EPOCHS.value)

    model = keras_ft.FactorTransfer(
        teacher,
        student,
        paraphraser,
        beta=500.0,
        also=[
            SimilarityMatch(
                beta=100.0,
                teacher_layer_name="stage2",
                student_layer_name="stage2",
            )
        ],
    )
    model.compile(
        keras_ft.CoupledSGD(0.1, momentum=0.9, weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(data.train, validation_data=data.validation, epochs=EPOCHS.value)


if __name__ == "__main__":
    app.run(main)
