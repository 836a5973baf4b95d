"""One worker that uses what train.py does not; prints JSON.

python more.py FOLDER: phase 1, an AdamW in mixed_float16 with a moving
average of weights, callbacks, and a second call that goes on.
"""

import json
import os
import sys

import keras
import tensorflow as tf
import train  # Beside this file.

import keras_ft


def model_in_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    paraphraser = keras_ft.Paraphraser(0.5)
    teacher, student = train.network(8, True), train.network(4, True)
    phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    phase1.compile(keras.optimizers.SGD(0.05))
    model = keras_ft.FactorTransfer(teacher, student, paraphraser)
    model.compile(
        keras.optimizers.AdamW(0.01, use_ema=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
    )
    return phase1, model


def callbacks(folder, index):
    one = keras.callbacks
    return [
        one.CSVLogger(f"{folder}/log{index}.csv"),
        one.ModelCheckpoint(
            f"{folder}/best{index}.keras",
            "val_task_loss",
            mode="min",
            save_best_only=True,
        ),
        one.ReduceLROnPlateau("val_task_loss", patience=1, mode="min"),
        # Never fulfilled: it stops two epochs after the first.
        one.EarlyStopping(
            "val_task_loss", min_delta=1e9, patience=2, mode="min"
        ),
    ]


def main(folder):
    os.makedirs(folder, exist_ok=True)
    strategy = keras_ft.multi_worker.strategy()
    with strategy.scope():
        phase1, model = model_in_half_precision()
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    steps = {"steps_per_epoch": train.STEPS, "verbose": 0}
    first = keras_ft.multi_worker.fit(phase1, train.train_from, **steps)
    validation = tf.data.Dataset.from_tensor_slices(train.images()).batch(9)
    stopped = keras_ft.multi_worker.fit(
        model,
        train.train_from,
        validation_data=validation,
        epochs=20,
        callbacks=callbacks(folder, index),
        **steps,
    )
    histories = [
        keras_ft.multi_worker.fit(
            model,
            train.train_from,
            epochs=epochs,
            checkpoint_dir=f"{folder}/checkpoint",
            **steps,
        )
        for epochs in (3, 5)
    ]
    result = {
        "phase1": first.history,
        "stopped": len(stopped.epoch),
        "continued": histories[-1].epoch,
        "digest": train.digest(model),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
