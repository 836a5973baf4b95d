"""What a run was made with."""

import platform
from importlib import metadata

from keras_ft._version import __version__

_PACKAGES = ("keras", "tensorflow", "numpy", "tensorflow-datasets")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result.

    Example:

    >>> versions()["keras"]
    '3.15.1'
    """
    found = {"python": platform.python_version(), "keras_ft": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
