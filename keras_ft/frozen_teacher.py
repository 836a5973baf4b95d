"""The base of both phases: a Keras model that uses a teacher it never owns."""

import os
from typing import Any

import keras
from keras import ops

from keras_ft import preflight
from keras_ft.feature_taps import Tap
from keras_ft.views import view

WEIGHTS_FILE = "teacher.weights.h5"


class FrozenTeacherModel(keras.Model):
    """Runs a teacher in inference mode without training or tracking it.

    The teacher is hidden from Keras' attribute tracking: its `trainable` flag
    is left alone, its weights are in no optimizer, no gradient and no weights
    checkpoint. A complete `.keras` file still carries them, as an asset, so
    that it can be loaded without anything else.

    Args:
        teacher: A built Functional or Sequential model.
        teacher_taps: The taps whose features are wanted.
    """

    def __init__(
        self, teacher: keras.Model, teacher_taps: list[Tap], **kwargs: Any
    ) -> None:
        # Autocasting would feed the teacher images rounded to float16.
        super().__init__(autocast=False, **kwargs)
        watched = view(teacher, teacher_taps) if teacher_taps else teacher
        # Keras tracks attributes that are layers; a closure is not one.
        self._frozen = lambda: (teacher, watched, len(teacher_taps))
        self._traced_names: list[str] = []

    @property
    def teacher(self) -> keras.Model:
        """The teacher as it was handed in."""
        return self._frozen()[0]

    def __dir__(self) -> list[str]:
        # Keras saves whatever `dir()` lists: the teacher stays out of it.
        return [name for name in super().__dir__() if name != "teacher"]

    def run_teacher(self, x: Any) -> tuple[list[Any], Any]:
        """Teacher features (one per tap) and outputs, as constants."""
        _, watched, count = self._frozen()
        results = watched(x, training=False)
        if not count:
            return [], _stopped(results)
        features = [ops.stop_gradient(feature) for feature in results[:count]]
        outputs = results[count:]
        return features, _stopped(outputs[0] if len(outputs) == 1 else outputs)

    @property
    def frozen_variables(self) -> list[Any]:
        """Variables that are used but never trained: here the teacher's."""
        return list(self.teacher.variables)

    @property
    def variables(self) -> list[Any]:
        # JAX passes a model's state through its compiled step: the teacher's
        # must be part of it, or it is baked in as constants.
        known = super().variables
        seen = {id(variable) for variable in known}
        return known + [v for v in self.teacher.variables if id(v) not in seen]

    @property
    def trainable_variables(self) -> list[Any]:
        frozen = {id(variable) for variable in self.frozen_variables}
        return [v for v in super().trainable_variables if id(v) not in frozen]

    @property
    def trainable_weights(self) -> list[Any]:
        frozen = {id(variable) for variable in self.frozen_variables}
        return [v for v in super().trainable_weights if id(v) not in frozen]

    @property
    def non_trainable_variables(self) -> list[Any]:
        trained = {id(variable) for variable in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Keras' `fit`, after checking models and data.

        Raises:
            InputError: Bad input, before the first training step; see the
                class for what is checked.
        """
        self._preflight(x, y)
        if hasattr(x, "element_spec") and not args:
            # Keras warns that its own default, True, means nothing here.
            kwargs.setdefault("shuffle", False)
        with preflight.explained_errors():
            return super().fit(x, y, *args, **kwargs)

    def evaluate(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Keras' `evaluate`, after checking the data. Changes no variable."""
        preflight.check_data(self.teacher, x, y)
        with preflight.explained_errors():
            return super().evaluate(x, y, *args, **kwargs)

    def _preflight(self, x: Any, y: Any) -> None:
        names = [variable.path for variable in self.trainable_variables]
        if self.train_function is not None:
            preflight.check_unchanged(self._traced_names, names)
        self._traced_names = names
        preflight.check_finite("teacher", self.teacher)
        preflight.check_data(self.teacher, x, y)

    def save_assets(self, directory: str) -> None:
        self.teacher.save_weights(os.path.join(directory, WEIGHTS_FILE))

    def load_assets(self, directory: str) -> None:
        self.teacher.load_weights(os.path.join(directory, WEIGHTS_FILE))

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {"name": self.name, "teacher": serialize(self.teacher)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FrozenTeacherModel":
        load = keras.saving.deserialize_keras_object
        return cls(**{key: load(value) for key, value in config.items()})


def _stopped(tensors: Any) -> Any:
    return keras.tree.map_structure(ops.stop_gradient, tensors)
