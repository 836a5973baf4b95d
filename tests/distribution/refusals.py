"""One worker that makes every mistake; prints the messages as JSON."""

import json

import keras
import tensorflow as tf
import train  # Beside this file.

import keras_ft


def message(call):
    try:
        call()
    except keras_ft.InputError as error:
        return str(error)
    return "no error"


def fit(model, x=train.train_from, **changes):
    arguments = {"steps_per_epoch": train.STEPS, "verbose": 0, **changes}
    return lambda: keras_ft.multi_worker.fit(model, x, **arguments)


def main():
    strategy = keras_ft.multi_worker.strategy()
    with strategy.scope():
        model = train.model_of("plain")
        accumulating = train.model_of("plain")
        accumulating.compile(
            keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), "mse"
        )
        compiled = train.model_of("plain")
        compiled.compile("sgd", "mse", jit_compile=True)
    data = tf.data.Dataset.from_tensor_slices(train.images())
    whole = data.batch(8, drop_remainder=True)
    backup = keras.callbacks.BackupAndRestore("never_made")
    messages = {
        "plain fit": message(lambda: model.fit(whole, verbose=0)),
        "odd batch": message(fit(model, data.batch(5, drop_remainder=True))),
        "unknown batch": message(fit(model, data.batch(8))),
        "no steps": message(fit(model, whole.repeat(), steps_per_epoch=None)),
        "backup": message(fit(model, callbacks=[backup])),
        "outside": message(fit(train.model_of("plain"))),
        "accumulation": message(fit(accumulating)),
        "jit": message(fit(compiled)),
    }
    print(json.dumps({"messages": messages}))


if __name__ == "__main__":
    main()
