"""What all refusals of the export have in common."""

from keras_ft.errors import InputError


class ExportError(InputError):
    """The file was not handed over; nothing was written under its name.

    One `except ExportError` catches every reason; the subclasses tell them
    apart. The message has the three parts of `InputError`.

    Example:

    >>> try:
    ...     to_tflite(student, "student.tflite", "int8", calibration=images)
    ... except ExportError:
    ...     to_tflite(student, "student.tflite", "dynamic", samples=images)
    """
