"""What happens when teacher and student maps differ in height and width."""

from typing import Any

from keras import ops

from keras_ft.errors import InputError

# (batch, height, width, channels) and (height, width).
Shape = Any
Size = Any


def common_size(teacher_shape: Shape, student_shape: Shape) -> Size:
    """The smaller height and the smaller width of two feature maps.

    The policy for maps of different sizes: the larger map is pooled down to
    the smaller one by adaptive average pooling, as RepDistiller does; nothing
    is ever interpolated up, which would invent detail to imitate.

    Raises:
        InputError: A size is unknown, so that they cannot be compared, or the
            maps are so different that each is larger in one direction.
    """
    # Keras hands in lists when it loads a file.
    teacher, student = tuple(teacher_shape[1:3]), tuple(student_shape[1:3])
    received = f"teacher {teacher} and student {student} (height, width)"
    if teacher == student:
        return teacher
    if None in teacher or None in student:
        raise InputError(
            "feature maps",
            received,
            "equal sizes, or sizes known in advance",
            "Give both models a fixed input size: keras.Input((H, W, C)).",
        )
    smaller = tuple(min(pair) for pair in zip(teacher, student, strict=True))
    if smaller not in (teacher, student):
        raise InputError(
            "feature maps",
            received,
            "one map at least as large as the other in both directions",
            "Tap other layers; keras_ft.taps(model) prints the sizes.",
        )
    return smaller


def pool_to(features: Any, size: Size) -> Any:
    """Average-pools (batch, H, W, C) to `size` where it is larger.

    A size of `common_size`: where that is free, both maps are of one size.
    """
    if None in size or tuple(features.shape[1:3]) == tuple(size):
        return features
    return ops.adaptive_average_pool(
        features, size, data_format="channels_last"
    )
