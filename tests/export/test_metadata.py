"""Metadata that a reader which knows only the public schema can follow."""

import io
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import encode
from flatbuffers import number_types
from flatbuffers import table

from keras_ft.errors import InputError
from keras_ft.export import run_in_litert
from keras_ft.export.metadata import NAME
from keras_ft.export.metadata import add_metadata
from keras_ft.export.metadata import check_class_names
from keras_ft.export.metadata import image_classifier_metadata

NAMES = ("ankle boot", "bag", "coat", "dress", "pullover")


class Reader:
    """Fields of a table by their place; knows nothing of the writer."""

    def __init__(self, buffer, position=None):
        root = encode.Get(number_types.UOffsetTFlags.packer_type, buffer, 0)
        self.table = table.Table(buffer, root if position is None else position)

    def _place(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        assert offset, f"field {slot} is missing"
        return offset + self.table.Pos

    def text(self, slot):
        return self.table.String(self._place(slot)).decode()

    def sub(self, slot):
        return Reader(self.table.Bytes, self.table.Indirect(self._place(slot)))

    def subs(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        start = self.table.Vector(offset)
        return [
            Reader(self.table.Bytes, self.table.Indirect(start + 4 * index))
            for index in range(self.table.VectorLen(offset))
        ]

    def floats(self, slot):
        offset = self.table.Offset(4 + 2 * slot)
        vector = self.table.GetVectorAsNumpy(number_types.Float32Flags, offset)
        return vector.tolist()

    def number(self, slot, flags):
        return self.table.Get(flags, self._place(slot))


@pytest.fixture
def about():
    return image_classifier_metadata(
        "clothes", "Five kinds of clothes.", (16, 24, 3), author="me"
    )


@pytest.fixture
def content(exported):
    return exported("none").path.read_bytes()


def _entries(content):
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return [
        bytes(model.buffers[entry.buffer].data)
        for entry in model.metadata
        if entry.name.decode() == NAME
    ]


def test_what_is_said_can_be_read_by_the_schema(about):
    assert about[4:8] == b"M001"
    root = Reader(about)
    assert root.text(0) == "clothes"
    assert root.text(1) == "Five kinds of clothes."
    assert root.text(4) == "me"
    assert root.text(7) == "1.0.0"
    (graph,) = root.subs(3)
    (image,), (output,) = graph.subs(2), graph.subs(3)
    uint8, int8 = number_types.Uint8Flags, number_types.Int8Flags
    assert image.text(0) == "image"
    assert image.sub(3).number(0, uint8) == 2  # ImageProperties
    assert image.sub(3).sub(1).number(0, int8) == 1  # RGB
    size = image.sub(3).sub(1).sub(1)
    wide, high = (size.number(k, number_types.Uint32Flags) for k in (0, 1))
    assert (wide, high) == (24, 16)
    (unit,) = image.subs(4)
    assert unit.number(0, uint8) == 1  # NormalizationOptions
    assert unit.sub(1).floats(0) == [0.0]
    assert unit.sub(1).floats(1) == [1.0]
    assert image.sub(5).floats(0) == [255.0]
    assert image.sub(5).floats(1) == [0.0]
    assert output.text(0) == "probability"
    (labels,) = output.subs(6)
    assert labels.text(0) == "labels.txt"
    assert labels.number(2, int8) == 2  # TENSOR_AXIS_LABELS


def test_grey_images_are_said_to_be_grey():
    grey = image_classifier_metadata("a", "b", (16, 16, 1))
    (graph,) = Reader(grey).subs(3)
    (image,) = graph.subs(2)
    found = image.sub(3).sub(1).number(0, number_types.Int8Flags)
    assert found == 2  # GRAYSCALE


def test_the_file_computes_the_same_to_the_last_bit(
    content, about, images, tmp_path
):
    plain, described = tmp_path / "plain.tflite", tmp_path / "said.tflite"
    plain.write_bytes(content)
    described.write_bytes(add_metadata(content, about, NAMES))
    pixels = images.astype("float32")
    np.testing.assert_array_equal(
        run_in_litert(plain, pixels), run_in_litert(described, pixels)
    )


def test_labels_lie_in_the_file_as_in_an_archive(content, about):
    archive = zipfile.ZipFile(io.BytesIO(add_metadata(content, about, NAMES)))
    assert archive.namelist() == ["labels.txt"]
    assert archive.read("labels.txt").decode().splitlines() == list(NAMES)


def test_the_same_again_has_the_same_bytes_and_one_entry(content, about):
    once = add_metadata(content, about, NAMES)
    assert once == add_metadata(content, about, NAMES)
    new = image_classifier_metadata("new", "d", (16, 16, 3))
    again = add_metadata(once, new, NAMES)
    (entry,) = _entries(again)
    assert Reader(entry).text(0) == "new"


def test_weights_lie_at_multiples_of_sixteen(content, about):
    # What the schema asks for, and the converter's own file has not.
    model = schema.Model.GetRootAs(add_metadata(content, about, NAMES))
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if not buffer.DataIsNone():
            start = buffer._tab.Vector(buffer._tab.Offset(4))
            assert start % 16 == 0, index


@pytest.mark.parametrize("names", [("a", "b\nc"), ("a", ""), ("a",), ()])
def test_names_that_are_no_lines_of_labels_are_refused(names):
    with pytest.raises(InputError, match="Invalid `class_names`"):
        check_class_names(names, 2)
