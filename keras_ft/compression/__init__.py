"""Students that learn to be smaller, on the way to the phone."""

import importlib
from typing import TYPE_CHECKING
from typing import Any

if TYPE_CHECKING:
    from keras_ft.compression.compression import compress as compress

__all__ = ["compress"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: the command line reads the names of the
    # compressions from `stages` without waiting for Keras.
    if name != "compress":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.compression").compress
