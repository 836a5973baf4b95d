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
from keras_ft.export.handover.bundle import bundle as bundle
from keras_ft.export.handover.bundle_result import BundleResult as BundleResult
from keras_ft.export.handover.model_card import ModelCard as ModelCard
from keras_ft.export.interpreter import run_in_litert as run_in_litert
from keras_ft.export.isolated import classify_isolated as classify_isolated
from keras_ft.export.latency import Latency as Latency
from keras_ft.export.latency import machine as machine
from keras_ft.export.latency import measure_latency as measure_latency
from keras_ft.export.model_file_error import ModelFileError as ModelFileError
from keras_ft.export.parity import ParityError as ParityError
from keras_ft.export.precision import PrecisionError as PrecisionError
from keras_ft.export.representative_data import (
    RepresentativeDataError as RepresentativeDataError,
)
from keras_ft.export.tf_keras_bridge import to_tf_keras as to_tf_keras
from keras_ft.export.tflite import to_tflite as to_tflite
