"""The factor transfer loss: student factors imitate teacher factors."""

from typing import Any

import keras
from keras import ops

from keras_ft import losses
from keras_ft.errors import InputError
from keras_ft.features.digests import tap_digest
from keras_ft.features.taps import find_tap
from keras_ft.layers.paraphraser import Paraphraser
from keras_ft.layers.paraphraser import feature_channels
from keras_ft.layers.translator import Translator
from keras_ft.transfers.transfer import Transfer
from keras_ft.transfers.transfer import common_size
from keras_ft.transfers.transfer import pool_to
from keras_ft.validation import parameters
from keras_ft.validation.parameters import OneOf

FORMS = ("flat", "attention")
_CHOICES = {
    "p": OneOf((1, 2), fix="Use 1, the official setting."),
    "reduction": OneOf(
        losses.REDUCTIONS, fix="Use 'mean', the official setting."
    ),
    "form": OneOf(FORMS, fix="Use 'flat', the official setting."),
}


@keras.saving.register_keras_serializable(package="keras_ft")
class FactorMatch(Transfer):
    """`|| F_T/||F_T||_2 - F_S/||F_S||_2 ||_p`, the factor transfer loss.

    The frozen paraphraser turns teacher features into the teacher factor F_T,
    the translator turns student features into the student factor F_S of the
    same shape. Maps of different height and width are average-pooled down to
    the smaller one (the teacher's after, the student's before its network).

    Args:
        paraphraser: A `Paraphraser` trained in phase 1.
        translator: A `Translator`; None makes one that fits.
        beta: Weight of the term. 500 belongs to the official setting: mean
            over a factor of 32x8x8 entries.
        p: 1 (official) or 2.
        reduction: `"mean"` (official), `"sum"` or `"relative"`; see
            `losses.factor_distance`.
        form: `"flat"` compares whole factors (the paper); `"attention"`
            compares their mean squares over channels (RepDistiller).
        teacher_layer_name, student_layer_name, name: See `Transfer`.

    Raises:
        InputError: An argument is out of range, or the translator's channels
            differ from the teacher factor's.

    Example:

    >>> match = keras_ft.transfers.FactorMatch(paraphraser, beta=500.0)
    >>> teacher_features = np.ones((4, 8, 8, 64), "float32")
    >>> student_features = np.ones((4, 8, 8, 16), "float32")
    >>> keras.ops.shape(match(teacher_features, student_features))
    (4,)

    Reference:
        arXiv:1802.04977; Jangho-Kim/Factor-Transfer-pytorch. Form
        "attention": HobbitLong/RepDistiller, distiller_zoo/FT.py.
    """

    term = "factor"

    def __init__(
        self,
        paraphraser: Paraphraser,
        translator: Translator | None = None,
        beta: float = 500.0,
        p: int = 1,
        reduction: str = "mean",
        form: str = "flat",
        **kwargs: Any,
    ) -> None:
        _check_networks(paraphraser, translator)
        choices = {"p": p, "reduction": reduction, "form": form}
        parameters.check(_CHOICES, choices)
        super().__init__(beta=beta, **kwargs)
        self.paraphraser = paraphraser
        self.translator = translator or Translator(dtype=self.dtype_policy)
        self.p = int(p)
        self.reduction = reduction
        self.form = form

    def build(
        self,
        teacher_shape: tuple[int | None, ...],
        student_shape: tuple[int | None, ...],
    ) -> None:
        self._fit_paraphraser(teacher_shape)
        width = feature_channels(teacher_shape, "teacher features")
        channels = self.paraphraser.factor_channels(width)
        if self.translator.channels is None:
            self.translator.channels = channels
        if self.translator.channels != channels:
            raise InputError(
                "translator",
                f"one with {self.translator.channels} channels",
                f"{channels}, the channels of the teacher factor",
                "Leave `channels` out and it is filled in.",
            )
        self.size = common_size(teacher_shape, student_shape)
        if not self.translator.built:
            self.translator.build(
                (student_shape[0], *self.size, student_shape[-1])
            )
        super().build(teacher_shape, student_shape)

    def _fit_paraphraser(self, teacher_shape: tuple[int | None, ...]) -> None:
        if not self.paraphraser.built:
            self.paraphraser.build(teacher_shape)
        trained_on = self.paraphraser.decoder.widths[-1]
        if trained_on != teacher_shape[-1]:
            raise InputError(
                "paraphraser",
                f"one made for features of {trained_on} channels",
                f"{teacher_shape[-1]}, the channels of the teacher's tap",
                "Use the teacher and tap of phase 1, or train a new one.",
            )

    def teacher_factor(self, teacher: Any) -> Any:
        """Return F_T, pooled to the common size, cut off from gradients."""
        # Teacher features may be of another dtype than the paraphraser's.
        factor = self.paraphraser(teacher, training=False)
        return ops.stop_gradient(pool_to(factor, self.size))

    def student_factor(self, student: Any, training: bool | None = None) -> Any:
        """Return F_S, of the teacher factor's shape."""
        features = pool_to(student, self.size)
        return self.translator(features, training=training)

    def call(
        self, teacher: Any, student: Any, training: bool | None = None
    ) -> Any:
        target = self.teacher_factor(teacher)
        factor = self.student_factor(student, training=training)
        if self.form == "attention":
            target = losses.attention_map(target)
            factor = losses.attention_map(factor)
        return losses.factor_distance(
            target, factor, p=self.p, reduction=self.reduction
        )

    @property
    def frozen_layers(self) -> list[keras.layers.Layer]:
        return [self.paraphraser]

    def check_ready(self) -> None:
        if not self.paraphraser.trained:
            raise InputError(
                "paraphraser",
                "one that was never trained",
                "a paraphraser after phase 1",
                "Run keras_ft.ParaphraserTrainer(teacher, paraphraser).fit() "
                "first. If its weights come from elsewhere, say so with "
                "paraphraser.trained = True.",
            )

    def check_teacher(self, teacher: keras.Model) -> None:
        known = self.paraphraser.trained_on
        if known is None:
            return
        tap = find_tap(teacher, self.teacher_layer_name, "teacher_layer_name")
        found = tap_digest(teacher, tap)
        if found not in (None, known):
            raise InputError(
                "paraphraser",
                f"one that phase 1 trained on another teacher or tap than "
                f"'{tap.name}' of '{teacher.name}'",
                "the paraphraser of this teacher, its weights as they were, "
                "and of this tap",
                "Train one with keras_ft.ParaphraserTrainer(teacher, "
                "paraphraser).fit(). If another teacher's is meant, say so "
                "with paraphraser.trained_on = None.",
            )

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "paraphraser": serialize(self.paraphraser),
            "translator": serialize(self.translator),
            "p": self.p,
            "reduction": self.reduction,
            "form": self.form,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FactorMatch":
        config = dict(config)
        for key in ("paraphraser", "translator"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)


def _check_networks(paraphraser: Any, translator: Any) -> None:
    if not isinstance(paraphraser, Paraphraser):
        raise InputError(
            "paraphraser",
            repr(paraphraser),
            "a keras_ft.Paraphraser",
            "Build one with keras_ft.Paraphraser(rate=0.5) and train it.",
        )
    if translator is not None and not isinstance(translator, Translator):
        raise InputError(
            "translator",
            repr(translator),
            "a keras_ft.Translator or None",
            "Leave it out and one that fits is made.",
        )
