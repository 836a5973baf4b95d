"""The base of both phases: a Keras model that uses a teacher it never owns."""

import contextlib
import os
from collections.abc import Callable
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

from keras_ft import archives
from keras_ft import losses
from keras_ft.acceleration.acceleration import Acceleration
from keras_ft.errors import InputError
from keras_ft.features.taps import Tap
from keras_ft.models.teacher_pass import TeacherPass
from keras_ft.validation import in_graph
from keras_ft.validation import strategies
from keras_ft.validation.data import check_data
from keras_ft.validation.models import check_finite
from keras_ft.validation.models import check_optimizer
from keras_ft.validation.models import check_trainable

WEIGHTS_FILE = "teacher.weights.h5"
# A context variable, because each replica of a strategy traces its step in a
# thread of its own.
_IN_STEP: ContextVar[bool] = ContextVar("in_step", default=False)


class FrozenTeacherModel(keras.Model):
    """Use a teacher in inference mode without training or tracking it.

    The teacher is hidden from Keras' attribute tracking: its `trainable` flag
    is left alone, its weights are in no optimizer, no gradient and no weights
    checkpoint. A complete `.keras` file still carries them, as an asset, so
    that it can be loaded without anything else.

    Beside Keras' own methods, `check` and `mark_trained` are there for loops
    that take the place of `fit`.

    Args:
        teacher: A built Functional or Sequential model.
        teacher_taps: The taps whose features are wanted.
        outputs: Whether the teacher's outputs are wanted, too.
        acceleration: `"none"`, or `"auto"` for what is faster here.
    """

    def __init__(
        self,
        teacher: keras.Model,
        teacher_taps: list[Tap],
        outputs: bool = False,
        acceleration: str = "auto",
        **kwargs: Any,
    ) -> None:
        # Autocasting would feed the teacher images rounded to float16.
        super().__init__(autocast=False, **kwargs)
        # Keras tracks attributes that are layers; this is none.
        self._teacher_pass = TeacherPass(teacher, teacher_taps, outputs)
        self._acceleration = Acceleration(acceleration, self._teacher_pass)
        # Keras would track a dictionary or copy a strategy; it leaves
        # functions alone.
        self._traced: Callable[[], dict[int, str]] = dict
        strategy = strategies.current()
        self._made_under = lambda: strategy

    def build(self, input_shape: Any) -> None:
        """Record the input shape; everything is built at construction."""
        super().build(input_shape)
        strategies.check_construction(self, list(self._given_layers()))

    def _given_layers(self) -> Iterator[tuple[str, keras.layers.Layer]]:
        """Yield what was handed in, each with the argument's name."""
        yield "teacher", self.teacher

    @property
    def teacher(self) -> keras.Model:
        """Return the teacher as it was handed in."""
        return self._teacher_pass.teacher

    @property
    def teacher_taps(self) -> tuple[str, ...]:
        """Return the names of the teacher's features that are used."""
        return self._teacher_pass.taps

    def __dir__(self) -> list[str]:
        # Keras saves whatever `dir()` lists: the teacher stays out of it.
        return [name for name in super().__dir__() if name != "teacher"]

    @property
    def acceleration(self) -> str:
        """Return what was asked for: `"none"` or `"auto"`."""
        return self._acceleration.choice

    @property
    def accelerated(self) -> dict[str, str]:
        """Return what the last `fit` did to `"teacher"` and `"student"`."""
        return dict(self._acceleration.report)

    def run_teacher(self, x: Any) -> tuple[list[Any], Any]:
        """Return teacher features (one per tap) and outputs, as constants."""
        return self._teacher_pass(x)

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
        return self.trainable_variables

    @property
    def non_trainable_variables(self) -> list[Any]:
        trained = {id(variable) for variable in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    def check(self, x: Any, y: Any = None) -> None:
        """Refuse models or data that cannot be trained, as `fit` does.

        Args:
            x: Images, or a dataset of batches.
            y: Labels where `x` is images.

        Raises:
            InputError: Bad weights, settings, images or labels; see the class
                for what is checked.
        """
        self._check_models()
        self._check_trainable()
        self._check_data(x, y)

    def mark_trained(self) -> None:
        """Record that a training has been completed, where that matters."""

    def mark_if_trained(self, history: keras.callbacks.History) -> None:
        """Call `mark_trained` after at least one batch.

        Keras counts a step that finds no batch as an iteration of the
        optimizer, so it is the history that tells.
        """
        if "loss" in history.history:
            self.mark_trained()

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Train as Keras' `fit`, after `check`.

        Raises:
            InputError: Bad input, before the first training step.
        """
        self.check(x, y)
        self._check_validation(kwargs.get("validation_data"))
        strategy = self._made_under()
        self._acceleration.prepare(self, strategy, x)
        strategies.check_fit(self, strategy, x, y, *args, **kwargs)
        if hasattr(x, "element_spec") and not args:
            # Keras warns that its own default, True, means nothing here.
            kwargs.setdefault("shuffle", False)
        if self.jit_compile:
            x = in_graph.guard_stream(x, self._guarded)
        with self._explained_errors():
            history = super().fit(x, y, *args, **kwargs)
        self.mark_if_trained(history)
        return history

    def evaluate(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Evaluate as Keras, after checking the data; change no variable."""
        strategy = self._made_under()
        strategies.check_inference(self, strategy)
        self._check_data(x, y)
        if not kwargs.get("_use_cached_eval_dataset"):  # not from `fit`
            self._acceleration.prepare(self, strategy, x)
        strategies.check_evaluate(self, strategy, x, y, *args, **kwargs)
        with self._explained_errors():
            return super().evaluate(x, y, *args, **kwargs)

    def train_on_batch(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Train on one batch as Keras, after the checks of `fit`.

        The models' weights are looked at when a step is about to be traced,
        batches and `trainable` flags each time.
        """
        if self.train_function is None:
            self._check_models()
            self._acceleration.prepare(self, self._made_under(), x)
        self._check_trainable()
        self._check_data(x, y)
        with self._explained_errors():
            return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Evaluate one batch as Keras, after checking it."""
        self._check_data(x, y)
        with self._explained_errors():
            return super().test_on_batch(x, y, *args, **kwargs)

    @contextlib.contextmanager
    def _explained_errors(self) -> Iterator[None]:
        with (
            in_graph.explained_errors(),
            strategies.explained_errors(self._made_under()),
        ):
            yield

    def train_step(self, *state_and_data: Any) -> Any:
        """Update what is trained, once; the teacher stays.

        Explicit on TensorFlow; on other backends Keras' own step runs the
        same `call` and `compute_loss`.
        """
        with in_step():
            if keras.backend.backend() != "tensorflow":
                return super().train_step(*state_and_data)
            return self._tensorflow_train_step(*state_and_data)

    def _tensorflow_train_step(self, data: Any) -> dict[str, Any]:
        import tensorflow as tf

        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(
            self._guarded(data)
        )
        with tf.GradientTape() as tape:
            with self._acceleration.forward(self):
                y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, sample_weight)
            batch = tf.shape(keras.tree.flatten(x)[0])[0]
            self._loss_tracker.update_state(loss * losses.replicas(), batch)
            scaled = self.optimizer.scale_loss(loss)
        # A step whose loss is not finite must change nothing: the backward pass
        # waits to begin. Waiting for each gradient would change their rounding.
        finite = in_graph.assert_finite(loss, "loss")
        (start,) = in_graph.wait_for([finite], [tf.ones_like(scaled)])
        weights = self.trainable_weights
        gradients = tape.gradient(scaled, weights, output_gradients=start)
        gradients = in_graph.agree_on_overflow(self.optimizer, gradients)
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, *state_and_data: Any) -> Any:
        """Compute the loss of training in inference mode, without update."""
        with in_step():
            if keras.backend.backend() != "tensorflow":
                return super().test_step(*state_and_data)
            return super().test_step(self._guarded(*state_and_data))

    def _guarded(self, data: Any) -> Any:
        """Return a TensorFlow batch that waits for the checks of its values."""
        return in_graph.guard_batch(data)

    def _check_models(self) -> None:
        if not self.compiled:
            raise InputError(
                f"'{self.name}' is not compiled. Call "
                "model.compile(optimizer, loss) first."
            )
        strategies.check_training(self, self._made_under())
        check_finite("teacher", self.teacher)

    def _check_data(self, x: Any, y: Any) -> None:
        check_data(self.teacher, x, y)
        self._teacher_pass.check(x)

    def _check_validation(self, data: Any) -> None:
        """Refuse before the first epoch what `evaluate` would after it."""
        if isinstance(data, (tuple, list)):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(tuple(data))
            self._check_data(x, y)
        elif data is not None:
            self._check_data(data, None)

    def _check_trainable(self) -> None:
        # By identity: layers of nested models may have equal paths.
        now = {id(v): v.path for v in self.trainable_variables}
        before = self._traced() if self.train_function is not None else now
        check_trainable(before, now)
        check_optimizer(self.optimizer, self.trainable_variables)
        self._traced = lambda: now

    def save_assets(self, directory: str) -> None:
        self.teacher.save_weights(os.path.join(directory, WEIGHTS_FILE))

    def load_assets(self, directory: str) -> None:
        path = os.path.join(directory, WEIGHTS_FILE)
        archives.load_weights(self.teacher, path)

    def get_config(self) -> dict[str, Any]:
        teacher = keras.saving.serialize_keras_object(self.teacher)
        return {
            "name": self.name,
            "teacher": teacher,
            "acceleration": self.acceleration,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FrozenTeacherModel":
        load = keras.saving.deserialize_keras_object
        return cls(**{key: load(value) for key, value in config.items()})


@contextlib.contextmanager
def in_step() -> Iterator[None]:
    """Let `call` return, beside what it returns to users, what a step needs."""
    token = _IN_STEP.set(True)
    try:
        yield
    finally:
        _IN_STEP.reset(token)


def is_in_step() -> bool:
    """Return whether `call` runs within `in_step`."""
    return _IN_STEP.get()
