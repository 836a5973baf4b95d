import os
import sys
import warnings

import pytest
from keras_ft.export.quiet import quiet


def test_python_and_descriptors_are_silenced_and_given_back(capfd):
    with quiet():
        print("python")
        print("python", file=sys.stderr)
        os.write(1, b"c++")
        os.write(2, b"c++")
        warnings.warn("a warning", stacklevel=1)
    os.write(1, b"after")
    os.write(2, b"wards")
    assert capfd.readouterr() == ("after", "wards")


def test_an_exception_passes_and_the_output_comes_back(capfd):
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyError), quiet():
        raise KeyError
    print("still here")
    assert capfd.readouterr().out == "still here\n"
    assert set(os.listdir("/proc/self/fd")) == before
