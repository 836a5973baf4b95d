import json
import shutil

import keras
import numpy as np
import pytest

from keras_ft.cli.main import main


def test_taps_prints_the_default_of_a_zoo_network(capsys):
    assert main(["taps", "--model=resnet8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (default,) = [line for line in lines if "default" in line]
    assert default.split()[:2] == ["stage3", "8x8x64"]


def test_taps_of_an_application(capsys):
    assert main(["taps", "--model=MobileNet", "--image_size=32"]) == 0
    printed = capsys.readouterr().out
    assert "conv_pw_11_relu" in printed and "<- default" in printed
    assert main(["taps", "--model=mobilenetv22"]) == 2
    assert "Did you mean MobileNetV2" in capsys.readouterr().err
    assert main(["taps", "--model=InceptionV3", "--image_size=32"]) == 2
    assert "at least 75x75" in capsys.readouterr().err


def test_taps_of_a_file(capsys, tmp_path, network):
    network().save(tmp_path / "own.keras")
    assert main(["taps", f"--model={tmp_path / 'own.keras'}"]) == 0
    assert "features" in capsys.readouterr().out


def test_taps_of_a_run(finished_run, capsys):
    assert main(["taps", f"--run_dir={finished_run}"]) == 0
    printed = capsys.readouterr().out
    assert "teacher.keras" in printed and "student.keras" in printed
    assert printed.count("<- default") == 2


def test_distill_ends_with_headline_and_artefact(
    finished_run, distill_arguments, tmp_path, capsys
):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    assert main([*distill_arguments, f"--run_dir={copy}"]) == 0
    *_, headline, artifact = capsys.readouterr().out.splitlines()
    metrics = json.loads((copy / "metrics.json").read_text())
    assert f"{100 * metrics['ft_accuracy']:.1f} %" in headline
    assert artifact.startswith(str(copy / "student.keras"))


def test_export_into_a_run_folder(finished_run, tmp_path, capsys):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    words = ["export", f"--run_dir={copy}", "--quantization=float16"]
    assert main(words) == 0
    line = capsys.readouterr().out
    assert line.startswith(str(copy / "student_float16.tflite"))
    whole = (copy / "student.tflite").stat().st_size
    assert (copy / "student_float16.tflite").stat().st_size < whole


def test_export_of_a_file(finished_run, tmp_path, capsys):
    shutil.copy(finished_run / "student.keras", tmp_path)
    student = tmp_path / "student.keras"
    assert main(["export", f"--student={student}"]) == 0
    # The same network and normalization: the same bytes.
    written = (tmp_path / "student.tflite").read_bytes()
    assert written == (finished_run / "student.tflite").read_bytes()


def test_export_takes_the_fallback_and_says_why(finished_run, tmp_path, capsys):
    student = keras.models.load_model(finished_run / "student.keras")
    kernel = np.array(student.layers[-1].kernel)
    # Two classes a hair apart, beside others far below: too much for 8 bits.
    kernel[:, 1] = kernel[:, 0] + 1e-3
    kernel[:, 2:] = -300.0
    student.layers[-1].kernel.assign(kernel)
    student.save(tmp_path / "wide.keras")
    words = ["export", f"--student={tmp_path / 'wide.keras'}"]
    assert main([*words, "--quantization=int8"]) != 0
    assert "8 bits are too coarse" in capsys.readouterr().err
    assert not (tmp_path / "wide.tflite").exists()
    assert main([*words, "--quantization=int8", "--fallback=none"]) == 0
    refusal, line = capsys.readouterr().out.splitlines()
    assert refusal.startswith("int8 was refused, and the file is none instead")
    assert line.startswith(str(tmp_path / "wide.tflite"))


@pytest.mark.slow
def test_export_after_quantization_aware_training(
    finished_run, tmp_path, capsys
):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    before = (copy / "student.keras").read_bytes()
    words = ["export", f"--run_dir={copy}", "--compression=qat", "--epochs=1"]
    assert main(words) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(str(copy / "student_qat_int8.tflite"))
    kept = json.loads((copy / "run.json").read_text())["phases"]
    assert kept["export_qat_int8"]["result"]["agreement"] >= 0.95
    assert (copy / "student.keras").read_bytes() == before


def test_a_trained_teacher_is_taken_from_its_run_folder(tmp_path, capsys):
    folder = tmp_path / "teacher"
    teacher = [
        "train_teacher",
        f"--run_dir={folder}",
        "--network=vgg8",
        "--train_examples=64",
        "--batch_size=32",
        "--epochs=1",
    ]
    assert main(teacher) == 0
    out = capsys.readouterr().out
    assert "Teacher: " in out and str(folder / "teacher.keras") in out
    assert (folder / "report.html").exists()
    distill = [
        "distill",
        f"--run_dir={tmp_path / 'student'}",
        f"--teacher={folder}",
        "--student=mobilenet_v2_small",
        "--teacher_layer=nonsense",
    ]
    assert main(distill) == 2
    assert "nonsense" in capsys.readouterr().err
    for mine, theirs in zip(
        _weights(folder), _weights(tmp_path / "student"), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def _weights(folder):
    return keras.models.load_model(folder / "teacher.keras").get_weights()


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        ["--labelled_examples=40"],
        pytest.param(
            ["--train_teacher", "--teacher_epochs=1"], marks=pytest.mark.long
        ),
    ],
)
def test_demo_at_smoke_size(tmp_path, more):
    words = [
        "demo",
        f"--run_dir={tmp_path}",
        "--paraphrase_epochs=1",
        "--epochs=1",
        "--train_examples=128",
        "--quantization=none",
        *more,
    ]
    assert main(words) == 0
    content = json.loads((tmp_path / "run.json").read_text())
    labelled = content["configuration"].get("labelled_examples")
    assert labelled == (None if len(more) == 2 else 40)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {
        "teacher_accuracy",
        "none_accuracy",
        "kd_accuracy",
        "ft+kd_accuracy",
        "tflite_agreement",
        "tflite_bytes",
        "seconds",
    } <= set(metrics)
    assert (tmp_path / "report.html").exists()
