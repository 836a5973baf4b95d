"""One teacher pass for every rate: Factor Transfer from a feature cache.

    python examples/cached_training.py

The teacher runs once, over a few differently augmented epochs; then it leaves
memory. Every rate trains its paraphraser and a student from what was kept.
Started again, the cache is found on disk and nothing is computed twice.
"""

import keras
from absl import app
from absl import flags

import keras_ft
from keras_ft import FeatureCache

CACHE = flags.DEFINE_string("cache", "cache", "Where the features go.")
VIEWS = flags.DEFINE_integer("views", 8, "Differently augmented epochs.")
RATES = flags.DEFINE_multi_float("rate", [0.25, 0.5, 1.0], "Rates to try.")
EPOCHS = flags.DEFINE_integer("epochs", 20, "Phase 2, for each rate.")
PARAPHRASE_EPOCHS = flags.DEFINE_integer("paraphrase_epochs", 10, "Phase 1.")
TRAIN_EXAMPLES = flags.DEFINE_integer("train_examples", None, "Fewer images.")
SEED = 0


def main(_):
    data = keras_ft.data.load(
        "fashion_mini", seed=SEED, train_examples=TRAIN_EXAMPLES.value
    )
    teacher = keras_ft.zoo.pretrained("fashion_mini")
    cache = FeatureCache.build(CACHE.value, teacher, data, views=VIEWS.value)
    # What is left of it: names and shapes, no weights.
    del teacher

    accuracies = {}
    for rate in RATES.value:
        accuracies[rate] = accuracy(cache, data, rate)
    for rate, value in accuracies.items():
        print(f"rate {rate:g}: {value:.2%} of the test images")


def accuracy(cache, data, rate):
    """Train both phases for one rate."""
    keras.utils.set_random_seed(SEED)
    steps = {"steps_per_epoch": cache.steps_per_epoch, "shuffle": False}
    recipe = keras_ft.Recipe.preset("official").short(
        PARAPHRASE_EPOCHS.value, EPOCHS.value
    )

    paraphraser = keras_ft.Paraphraser(rate=rate)
    phase1 = keras_ft.ParaphraserTrainer(cache.teacher, paraphraser)
    phase1.compile(recipe.paraphrase.optimizer(cache.steps_per_epoch))
    phase1.fit(
        cache.train_from(0), epochs=recipe.paraphrase.epochs, verbose=0, **steps
    )

    student = keras_ft.zoo.resnet8(
        classes=data.classes, input_shape=data.input_shape
    )
    model = keras_ft.FactorTransfer(cache.teacher, student, paraphraser)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = recipe.distill.optimizer(cache.steps_per_epoch)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(
        cache.train_from(0), epochs=recipe.distill.epochs, verbose=2, **steps
    )
    return model.evaluate(cache.test, return_dict=True, verbose=0)["accuracy"]


if __name__ == "__main__":
    app.run(main)
