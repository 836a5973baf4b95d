"""Distillation terms, one method per file; combine them in a `Distiller`."""

from keras_ft.transfers.attention_transfer import (
    AttentionTransfer as AttentionTransfer,
)
from keras_ft.transfers.decoupled_soft_targets import (
    DecoupledSoftTargets as DecoupledSoftTargets,
)
from keras_ft.transfers.factor_match import FactorMatch as FactorMatch
from keras_ft.transfers.hint import Hint as Hint
from keras_ft.transfers.soft_targets import SoftTargets as SoftTargets
from keras_ft.transfers.transfer import Transfer as Transfer
