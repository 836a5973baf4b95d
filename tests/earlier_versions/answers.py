"""Load an earlier version's models with stock Keras, and write what they say.

`python answers.py FOLDER OUT.npz`, in a process of its own: nothing is
imported but what README tells a user to import, so that a class which moved
must still be known to `keras.models.load_model`.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

WRAPPERS = ("factor_transfer", "distiller")


def answers(
    models: dict[str, keras.Model], images: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Return predictions and losses, and predictions after a further step.

    The step shows that the optimizer's state came along, too.
    """
    found = {
        name: models[name].predict(images, verbose=0)
        for name in ("student", "paraphraser_trainer", *WRAPPERS)
    }
    network = models["paraphraser"]
    features = np.abs(images[..., :1]) * np.linspace(-1, 1, 8, dtype="float32")
    found["paraphraser"] = network.predict(features, verbose=0)
    paraphraser = network.layers[-1]
    found["reconstruction"] = np.asarray(paraphraser.reconstruct(features))
    found["trained"] = np.asarray(paraphraser.trained)
    for name in WRAPPERS:
        logs = models[name].evaluate(
            images, labels, verbose=0, return_dict=True
        )
        found |= {f"{name}/{key}": logs[key] for key in sorted(logs)}
        models[name].train_on_batch(images, labels)
        after = models[name].predict(images, verbose=0)
        found[f"{name} after a step"] = after
    return found


def main() -> None:
    folder, out = Path(sys.argv[1]), sys.argv[2]
    models = {"student": keras.models.load_model(folder / "student.keras")}
    assert not any(name.startswith("keras_ft") for name in sys.modules)

    import keras_ft  # noqa: F401 - makes its classes known to Keras

    for name in (*WRAPPERS, "paraphraser_trainer", "paraphraser"):
        models[name] = keras.models.load_model(folder / f"{name}.keras")
    batch = np.load(folder / "batch.npz")
    np.savez(out, **answers(models, batch["images"], batch["labels"]))


if __name__ == "__main__":
    main()
