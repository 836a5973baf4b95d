"""A teacher without weights, for batches that carry the teacher's outputs."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.feature_cache.cached_output import CachedOutput

Shape = Sequence[int | None]


def outline(teacher: keras.Model) -> dict[str, Any]:
    """What a manifest keeps of a teacher: name, input and output shapes."""
    return {
        "name": teacher.name,
        "input shape": list(teacher.inputs[0].shape[1:]),
        "output shapes": [list(x.shape[1:]) for x in teacher.outputs],
    }


def stand_in(
    outlined: dict[str, Any], taps: Sequence[tuple[str, Shape]]
) -> keras.Model:
    """A model with the teacher's taps and shapes, and nothing else.

    Args:
        outlined: What `outline` returned.
        taps: Names and shapes (height, width, channels) of the cached feature
            maps, in the teacher's order.

    Returns:
        A Functional model without variables. The last tap is its default.

    Example:

    >>> model = stand_in(cache_content["teacher"], [("stage3", (8, 8, 64))])
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
    """One layer after the other; those of a nested model within one."""
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
