"""What all refusals of the export have in common."""

from keras_ft.errors import InputError


class ExportError(InputError):
    """The file was not handed over; nothing was written under its name.

    One `except ExportError` catches every reason; the subclasses tell them
    apart. The message has the three parts of `InputError`.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> needed = {"samples": images, "normalization": data.normalization}
    >>> try:
    ...     result = keras_ft.export.to_tflite(
    ...         student, "student.tflite", "int8", images, **needed)
    ... except keras_ft.export.ExportError:
    ...     result = keras_ft.export.to_tflite(
    ...         student, "student.tflite", "dynamic", **needed)
    """
