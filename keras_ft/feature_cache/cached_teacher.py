"""A teacher without weights, for batches that carry the teacher's outputs."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.errors import InputError

Shape = Sequence[int | None]


@keras.saving.register_keras_serializable(package="keras_ft")
class CachedOutput(keras.layers.Layer):
    """Takes the place of what a `FeatureCache` has computed already.

    It has a shape and no weights, and cannot be run: a model made of it is
    used with batches that carry the outputs.

    Args:
        shape: Of the output, without the batch.
        name: The layer it stands for.

    Raises:
        InputError: It is called on data.

    Example:

    >>> image = keras.Input((32, 32, 3))
    >>> CachedOutput((8, 8, 64), name="stage3")(image).shape
    (None, 8, 8, 64)
    """

    def __init__(
        self, shape: Sequence[int | None], name: str | None = None, **more: Any
    ) -> None:
        # Cached values are float32, whatever the policy.
        super().__init__(name=name, **{"dtype": "float32", **more})
        self.shape = tuple(shape)
        self.built = True

    def compute_output_spec(self, x: Any, **_: Any) -> keras.KerasTensor:
        """Return the shape, whatever comes in."""
        return keras.KerasTensor(
            (x.shape[0], *self.shape), dtype=self.compute_dtype
        )

    def call(self, x: Any) -> Any:
        """Refuse to run."""
        error = InputError(
            "x",
            f"images of shape {tuple(x.shape)} without cached outputs",
            "batches of the FeatureCache, as cache.train_from(0) yields them",
            f"The teacher that made '{self.name}' is not in memory; pass the "
            "teacher itself instead of cache.teacher to compute anew.",
        )
        # Keras would wrap it into an error of another class.
        error._keras_call_info_injected = True  # type: ignore[attr-defined]
        raise error

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shape": list(self.shape)}


def outline(teacher: keras.Model) -> dict[str, Any]:
    """Return what a manifest keeps of a teacher: its name and shapes."""
    return {
        "name": teacher.name,
        "input shape": list(teacher.inputs[0].shape[1:]),
        "output shapes": [list(x.shape[1:]) for x in teacher.outputs],
    }


def cached_teacher(
    outlined: dict[str, Any], taps: Sequence[tuple[str, Shape]]
) -> keras.Model:
    """Return a model with the teacher's taps and shapes, and nothing else.

    Args:
        outlined: What `outline` returned.
        taps: Names and shapes (height, width, channels) of the cached feature
            maps, in the teacher's order.

    Returns:
        A Functional model without variables. The last tap is its default.

    Example:

    >>> model = cached_teacher(outline(teacher), [("stage3", (8, 8, 64))])
    >>> keras_ft.taps(model)[-1].name
    'stage3'
    """
    names = [name.split("/")[0] for name, _ in taps]
    image = keras.Input(outlined["input shape"], name=_free("image", names))
    x = _chain(image, taps)
    outputs = [
        CachedOutput(shape, name=_free(f"output_{number}", names))(x)
        for number, shape in enumerate(outlined["output shapes"])
    ]
    return keras.Model(
        image,
        outputs[0] if len(outputs) == 1 else outputs,
        name=f"{outlined['name']}_in_cache",
    )


def _chain(x: Any, taps: Sequence[tuple[str, Shape]]) -> Any:
    """Put one layer after the other, those of a nested model within one."""
    done: set[str] = set()
    for name, shape in taps:
        owner, _, rest = name.partition("/")
        if not rest:
            x = CachedOutput(shape, name=name)(x)
        elif owner not in done:
            done.add(owner)
            inner = [
                (other.partition("/")[2], its_shape)
                for other, its_shape in taps
                if other.startswith(f"{owner}/")
            ]
            x = _nested(owner, x.shape[1:], inner)(x)
    return x


def _nested(
    name: str, shape: Shape, taps: Sequence[tuple[str, Shape]]
) -> keras.Model:
    names = [tap.split("/")[0] for tap, _ in taps]
    image = keras.Input(shape, name=_free("image", names))
    x = _chain(image, taps)
    # Not a map: a tap that is the output of a model is not its default.
    numbers = CachedOutput((math.prod(x.shape[1:]),), name=_free("end", names))
    return keras.Model(image, numbers(x), name=name)


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name
