import subprocess
import sys

import keras
import pytest

from keras_ft.errors import InputError
from keras_ft.zoo import network_names
from keras_ft.zoo import registry
from keras_ft.zoo.network_names import Backbone


def test_the_words_are_those_that_keras_and_the_zoo_know():
    known = {name for name in dir(keras.applications) if name[0].isupper()}
    assert known == set(network_names.PREPROCESSING)
    assert registry.names() == network_names.ZOO
    assert set(network_names.ALPHAS) <= known


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("MobileNetV2", Backbone("MobileNetV2")),
        ("mobilenetv2", Backbone("MobileNetV2")),
        ("MOBILENETV2_0.35", Backbone("MobileNetV2", 0.35)),
        ("resnet50v2", Backbone("ResNet50V2")),
        ("resnet20", None),
        ("ResNet50_0.5", None),  # It has no widths.
        ("mobilenet_v2_small", None),
        ("wrn40_2", None),
        ("teacher.keras", None),
    ],
)
def test_names_of_keras_applications(source, found):
    assert network_names.backbone(source) == found


def test_a_width_without_weights_is_refused():
    with pytest.raises(InputError, match=r"MobileNetV2_0\.35, Mobile"):
        network_names.backbone("MobileNetV2_0.4")


@pytest.mark.parametrize(
    ("argument", "source", "hint"),
    [
        ("student", "resnt20", "resnet20"),
        ("student", "mobilnetv3small", "MobileNetV3Small"),
        ("student", "fashion_mini", "a name of keras.applications"),
        ("teacher", "fasion_mini", "fashion_mini"),
        ("teacher", "effnetb0", "EfficientNetB0"),
        ("teacher", "resnet20", "a run folder"),  # It is not trained.
        ("teacher", "absent.keras", "existing .keras file"),
        ("student", "absent.keras", "existing .keras file"),
        ("teacher", "runs/absent", "existing run folder"),
        ("network", "absent.keras", "Check the spelling"),
    ],
)
def test_what_is_no_network_is_refused(argument, source, hint):
    with pytest.raises(InputError) as caught:
        network_names.check(argument, source)
    assert hint in str(caught.value) and argument in str(caught.value)


def test_files_and_folders(tmp_path):
    for name in ("net.keras", "net.npz", "run.json"):
        (tmp_path / name).touch()
    network_names.check("teacher", str(tmp_path / "net.keras"))
    network_names.check("teacher", str(tmp_path / "net.npz"))
    network_names.check("teacher", str(tmp_path))  # A run folder.
    network_names.check("student", str(tmp_path / "net.keras"))
    network_names.check("student", "gone.keras", missing_ok=True)
    network_names.check("teacher", "runs/gone", missing_ok=True)
    (tmp_path / "empty").mkdir()
    for argument, name in (
        ("student", "net.npz"),
        ("student", ""),
        ("teacher", "empty"),
    ):
        with pytest.raises(InputError, match=r"model\.save"):
            network_names.check(argument, str(tmp_path / name))


@pytest.mark.parametrize(
    "words",
    [
        ["distill", "--student=resnt20"],
        ["distill", "--teacher=absent.keras"],
        ["compare", "--student=resnt20"],
        ["tune", "--teacher=mobilnetv2"],
        ["train_teacher", "--network=resnt20"],
        ["demo", "--student=resnt20"],
        ["distill", "--image_size=0"],
    ],
)
def test_a_wrong_name_is_refused_before_keras_is_imported(words, tmp_path):
    code = (
        "import sys; from keras_ft.cli.main import main; code = main(sys.argv"
        "[1:]); slow = {'keras', 'tensorflow'} & set(sys.modules); "
        "sys.exit(9 if slow else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words, f"--run_dir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "run").exists()
