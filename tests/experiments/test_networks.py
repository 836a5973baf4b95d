import pytest

from keras_ft.data.normalization import FASHION_MNIST
from keras_ft.data.normalization import IMAGENET
from keras_ft.errors import InputError
from keras_ft.experiments import networks


def test_arrays_of_a_pytorch_resnet_are_a_teacher(reference):
    path = reference / "teachers" / "resnet20_cifar10.npz"
    teacher = networks.teacher(str(path))
    assert teacher.name == "resnet20" and teacher.output_shape == (None, 10)
    assert networks.recorded_normalization(str(path)) == IMAGENET


def test_the_shipped_teacher_has_a_record_and_a_file_has_none():
    assert networks.recorded_normalization("fashion_mini") == FASHION_MNIST
    assert networks.recorded_normalization("teacher.keras") is None
    assert networks.recorded_normalization(None) is None


def test_missing_arrays_are_refused():
    with pytest.raises(InputError, match=r"absent\.npz"):
        networks.teacher("absent.npz")
