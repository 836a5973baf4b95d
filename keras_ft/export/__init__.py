"""From a trained student to the file a phone runs, proven on the way."""

from keras_ft.export.bridge_error import BridgeError as BridgeError
from keras_ft.export.contents import (
    QuantizationNotAppliedError as QuantizationNotAppliedError,
)
from keras_ft.export.conversion import (
    UnsupportedOpsError as UnsupportedOpsError,
)
from keras_ft.export.export_error import ExportError as ExportError
from keras_ft.export.export_result import ExportResult as ExportResult
from keras_ft.export.interpreter import run_in_litert as run_in_litert
from keras_ft.export.parity import ParityError as ParityError
from keras_ft.export.precision import PrecisionError as PrecisionError
from keras_ft.export.representative_data import (
    RepresentativeDataError as RepresentativeDataError,
)
from keras_ft.export.tf_keras_bridge import to_tf_keras as to_tf_keras
from keras_ft.export.tflite import to_tflite as to_tflite
