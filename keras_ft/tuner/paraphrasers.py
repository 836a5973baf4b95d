"""Phase 1, once for each rate, shared by trials and processes."""

from collections.abc import Callable
from pathlib import Path

import keras

from keras_ft import artifacts
from keras_ft.experiments.follower import Follower
from keras_ft.experiments.training import history
from keras_ft.experiments.training import remove_checkpoint
from keras_ft.experiments.training import train
from keras_ft.feature_cache import FeatureCache
from keras_ft.features.digests import digest
from keras_ft.features.feature_taps import find
from keras_ft.layers import Paraphraser
from keras_ft.recipes import Recipe
from keras_ft.tuner.lock import locked

_FILE = "paraphraser.weights.h5"
Echo = Callable[[str], None]


class Paraphrasers:
    """Trained paraphrasers on disk, found by everything they depend on.

    That is the teacher, the data and their order (the key of the feature
    cache), the rate, all of the recipe's phase 1, and the seed. One that is
    being trained by another process is waited for; one whose process was
    killed is trained on from its last complete epoch.

    Args:
        folder: Where they are kept.
        cache: The teacher's features.
        teacher_layer_name: Tap of the teacher, as cached.
        seed: Of the initial weights.
        acceleration: `"auto"` or `"none"`, see `Distiller`.
        echo: Takes lines of progress; `None` shows nothing.

    Example:

    >>> paraphraser = Paraphrasers(folder, cache).get(recipe)
    """

    def __init__(
        self,
        folder: Path,
        cache: FeatureCache,
        teacher_layer_name: str | None = None,
        seed: int = 0,
        acceleration: str = "auto",
        echo: Echo | None = None,
    ) -> None:
        self.folder = folder
        self.cache = cache
        self.teacher_layer_name = teacher_layer_name
        self.seed = seed
        self.acceleration = acceleration
        self.echo = echo

    def get(self, recipe: Recipe) -> Paraphraser:
        """The trained paraphraser of a recipe, trained now if need be.

        Raises:
            InputError: The rate leaves no channel, training diverges, or a
                file is damaged.
        """
        content = recipe.to_dict()
        names = (
            "rate",
            "rounding",
            "paraphrase",
            "reconstruction_loss",
            "paraphraser_batch_normalization",
        )
        kept = {name: content[name] for name in names} | {
            "cache": self.cache.key,
            "seed": self.seed,
            "acceleration": self.acceleration,
        }
        folder = self.folder / digest(kept)[:16]
        with locked(folder.with_suffix(".lock")):
            return self._get(folder, recipe)

    def _get(self, folder: Path, recipe: Recipe) -> Paraphraser:
        keras.utils.set_random_seed(self.seed)
        paraphraser = recipe.paraphraser()
        teacher = self.cache.teacher
        tap = find(teacher, self.teacher_layer_name, "teacher_layer_name")
        whole = keras.Sequential([keras.Input(tap.shape), paraphraser])
        # One that was deleted, say because it was damaged, is trained again.
        there = (folder / _FILE).is_file()
        if there and _FILE in artifacts.manifest(folder):
            whole.load_weights(artifacts.verify(folder, _FILE))
            self._say(f"phase 1: paraphraser of rate {recipe.rate:g} is there")
        else:
            self._train(folder, recipe, teacher, paraphraser)
            with artifacts.atomic_path(folder / _FILE) as temporary:
                whole.save_weights(temporary)
            artifacts.record(folder, [_FILE, history("paraphrase")])
            remove_checkpoint(Follower(folder), "paraphrase")
            self._say(f"phase 1: paraphraser of rate {recipe.rate:g} trained")
        paraphraser.trained = True
        return paraphraser

    def _train(
        self,
        folder: Path,
        recipe: Recipe,
        teacher: keras.Model,
        paraphraser: Paraphraser,
    ) -> None:
        self._say(f"phase 1: paraphraser of rate {recipe.rate:g}")
        artifacts.remove_unfinished(folder)
        phase1 = recipe.paraphraser_trainer(
            teacher, paraphraser, self.teacher_layer_name, self.acceleration
        )
        schedule = recipe.paraphrase
        phase1.compile(schedule.optimizer(self.cache.steps_per_epoch))
        train(
            Follower(folder),
            "paraphrase",
            phase1,
            self.cache,
            schedule.epochs,
            self.echo,
        )

    def _say(self, line: str) -> None:
        if self.echo is not None:
            self.echo(line)
