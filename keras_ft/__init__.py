"""keras_ft: Factor Transfer for Keras 3, from a teacher to a phone."""

import importlib
import sys
from typing import TYPE_CHECKING
from typing import Any

from keras_ft._version import __version__ as __version__

if TYPE_CHECKING:
    from keras_ft import compression as compression
    from keras_ft import data as data
    from keras_ft import export as export
    from keras_ft import multi_worker as multi_worker
    from keras_ft import transfers as transfers
    from keras_ft import tuner as tuner
    from keras_ft import zoo as zoo
    from keras_ft.errors import InputError as InputError
    from keras_ft.experiments.comparison.compare import compare as compare
    from keras_ft.feature_cache import FeatureCache as FeatureCache
    from keras_ft.features.taps import taps as taps
    from keras_ft.layers import Paraphraser as Paraphraser
    from keras_ft.layers import Translator as Translator
    from keras_ft.models.beta_suggestion import suggest_beta as suggest_beta
    from keras_ft.models.distiller import Distiller as Distiller
    from keras_ft.models.factor_transfer import FactorTransfer as FactorTransfer
    from keras_ft.models.paraphraser_trainer import (
        ParaphraserTrainer as ParaphraserTrainer,
    )
    from keras_ft.one_call import distill as distill
    from keras_ft.optimizers import CoupledSGD as CoupledSGD
    from keras_ft.recipes import Recipe as Recipe

# Everything is imported when it is first asked for: the command line answers
# at once, and on the JAX and torch backends there may be no TensorFlow.
_MODULES = {
    "compression": "compression",
    "data": "data",
    "export": "export",
    "multi_worker": "multi_worker",
    "transfers": "transfers",
    "tuner": "tuner",
    "zoo": "zoo",
}
_HOMES = {
    "CoupledSGD": "optimizers",
    "Distiller": "models.distiller",
    "FactorTransfer": "models.factor_transfer",
    "FeatureCache": "feature_cache",
    "InputError": "errors",
    "Paraphraser": "layers",
    "ParaphraserTrainer": "models.paraphraser_trainer",
    "Recipe": "recipes",
    "Translator": "layers",
    "suggest_beta": "models.beta_suggestion",
    "taps": "features.taps",
}
# They define nothing that a saved model may hold.
_USES = {"compare": "experiments.comparison", "distill": "one_call"}
__all__ = ["__version__", *_MODULES, *_HOMES, *_USES]

# The command line's own work, built on TensorFlow's data and exports.
_WITH_TENSORFLOW = ("compare", "distill", "tuner")


def __getattr__(name: str) -> Any:
    if name in _WITH_TENSORFLOW:
        from keras_ft.validation.installed import require_tensorflow

        require_tensorflow(f"keras_ft.{name}", "Call fit() for each training.")
    if name in _MODULES:
        return importlib.import_module(f"keras_ft.{_MODULES[name]}")
    home = _HOMES.get(name) or _USES.get(name)
    if home is not None:
        return getattr(importlib.import_module(f"keras_ft.{home}"), name)
    raise AttributeError(f"module 'keras_ft' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


if "keras" in sys.modules:
    # `keras.models.load_model` knows our classes once they are imported.
    for _home in ("transfers", *_HOMES.values()):
        importlib.import_module(f"keras_ft.{_home}")
