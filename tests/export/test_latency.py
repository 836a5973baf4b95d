import pytest

from keras_ft.errors import InputError
from keras_ft.export import Latency
from keras_ft.export import ModelFileError
from keras_ft.export import machine
from keras_ft.export import measure_latency


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_every_number_of_threads_is_timed(exported, quantization):
    path = exported(quantization).path
    found = measure_latency(path, threads=(1, 2), runs=15)
    assert [latency.threads for latency in found] == [1, 2]
    for latency in found:
        assert isinstance(latency, Latency)
        assert latency.runs == 15
        assert 0 < latency.median_ms <= latency.p90_ms < 1000


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 4)
    with pytest.raises(ModelFileError, match="not a valid Flatbuffer"):
        measure_latency(path, runs=1)


@pytest.mark.parametrize(
    "arguments", [{"threads": ()}, {"threads": (2, 0)}, {"runs": 0}]
)
def test_numbers_below_one_are_refused_before_the_file_is_read(
    tmp_path, arguments
):
    (name,) = arguments
    with pytest.raises(InputError, match=f"Invalid `{name}`"):
        measure_latency(tmp_path / "missing.tflite", **arguments)


def test_the_machine_is_one_line_with_version_and_cores():
    line = machine()
    assert "\n" not in line
    assert " cores, " in line and "LiteRT " in line
