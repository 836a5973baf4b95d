"""From a trained student to the file a phone runs, proven on the way."""

import importlib
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from keras_ft.export.android_bundle.bundle import (
        BundleResult as BundleResult,
    )
    from keras_ft.export.android_bundle.bundle import bundle as bundle
    from keras_ft.export.android_bundle.model_card import ModelCard as ModelCard
    from keras_ft.export.errors import BridgeError as BridgeError
    from keras_ft.export.errors import ExportError as ExportError
    from keras_ft.export.errors import ModelFileError as ModelFileError
    from keras_ft.export.errors import ParityError as ParityError
    from keras_ft.export.errors import PrecisionError as PrecisionError
    from keras_ft.export.errors import (
        QuantizationNotAppliedError as QuantizationNotAppliedError,
    )
    from keras_ft.export.errors import (
        RepresentativeDataError as RepresentativeDataError,
    )
    from keras_ft.export.errors import (
        UnsupportedOpsError as UnsupportedOpsError,
    )
    from keras_ft.export.latency import Latency as Latency
    from keras_ft.export.latency import machine as machine
    from keras_ft.export.latency import measure_latency as measure_latency
    from keras_ft.export.litert import classify_isolated as classify_isolated
    from keras_ft.export.litert import run_in_litert as run_in_litert
    from keras_ft.export.tf_keras_bridge import to_tf_keras as to_tf_keras
    from keras_ft.export.tflite import ExportResult as ExportResult
    from keras_ft.export.tflite import to_tflite as to_tflite

# Imported when first asked for: the command line reads the names of the
# quantizations from here without waiting for Keras.
_HOMES = {
    "BridgeError": "errors",
    "BundleResult": "android_bundle.bundle",
    "ExportError": "errors",
    "ExportResult": "tflite",
    "Latency": "latency",
    "ModelCard": "android_bundle.model_card",
    "ModelFileError": "errors",
    "ParityError": "errors",
    "PrecisionError": "errors",
    "QuantizationNotAppliedError": "errors",
    "RepresentativeDataError": "errors",
    "UnsupportedOpsError": "errors",
    "bundle": "android_bundle.bundle",
    "classify_isolated": "litert",
    "machine": "latency",
    "measure_latency": "latency",
    "run_in_litert": "litert",
    "to_tf_keras": "tf_keras_bridge",
    "to_tflite": "tflite",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
