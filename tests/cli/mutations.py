"""Ways to damage a `.tflite` file, by accident or on purpose.

`KINDS` has them by name; each takes the file's bytes and a NumPy random
generator and returns other bytes. Those that end in "hostile" are valid
flatbuffers that LiteRT's verifier lets through, with one thing changed inside.
"""

import struct

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:%064x\nsize 319090\n"
)
_WEB_PAGE = b"<!doctype html><title>404</title><p>No such file.</p>\n"
_EXTREMES = (0, 1, 2**15, 2**24, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)
_SIZES = (0, -1, -(2**31), 2, 1000, 65536, 10**8, 2**31 - 1)
_SCALES = (0.0, -1.0, 1e-38, 1e38, float("nan"), float("inf"))


def truncated(content, random):
    """The front part, cut anywhere, often early."""
    return content[: int(len(content) ** random.random())]


def flipped(content, random):
    """One to 64 bits flipped anywhere."""
    damaged = bytearray(content)
    for position in random.integers(len(content), size=random.integers(1, 65)):
        damaged[position] ^= 1 << random.integers(8)
    return bytes(damaged)


def zeroed(content, random):
    """A block of zeros, as a disk leaves behind that lost its power."""
    length = int(len(content) ** random.random())
    start = random.integers(len(content) - length + 1)
    end = start + length
    return content[:start] + bytes(length) + content[end:]


def spliced(content, random):
    """A piece of the file written over another one, or put in between."""
    length = int(len(content) ** random.random())
    source, target = random.integers(len(content) - length + 1, size=2)
    piece = content[source : source + length]
    kept = target + length if random.random() < 0.5 else target
    return content[:target] + piece + content[kept:]


def lengths(content, random):
    """Lengths and offsets made too small, too large or off by little.

    Words that could be one: positive and smaller than the file.
    """
    words = np.frombuffer(content[: len(content) // 4 * 4], "<u4")
    found = np.flatnonzero((words > 0) & (words < len(content)))
    damaged = bytearray(content)
    for word in random.choice(found, size=random.integers(1, 5)):
        near = int(words[word]) + int(random.integers(-8, 9))
        value = near if random.random() < 0.5 else random.choice(_EXTREMES)
        struct.pack_into("<I", damaged, 4 * word, int(value) % 2**32)
    return bytes(damaged)


def something_else(content, random):
    """No model at all: empty, an LFS pointer, a web page, noise."""
    noise = random.bytes(int(random.integers(1, 5000)))
    pointer = _LFS_POINTER % int(random.integers(2**62))
    choices = (b"", pointer, _WEB_PAGE, noise, noise[:4] + b"TFL3" + noise)
    return choices[random.integers(len(choices))]


def shape_hostile(content, random):
    """A tensor of another shape, giant ones included."""
    model = _model(content)
    tensor = _choose(model.subgraphs[0].tensors, random)
    shape = np.array(tensor.shape if tensor.shape is not None else [1])
    if shape.size:
        shape[random.integers(shape.size)] = random.choice(_SIZES)
    tensor.shape = shape
    return _packed(model)


def input_hostile(content, random):
    """The input made giant."""
    model = _model(content)
    graph = model.subgraphs[0]
    tensor = graph.tensors[graph.inputs[0]]
    tensor.shape = np.array([1, 10 ** random.integers(3, 7), 20_000, 1])
    return _packed(model)


def index_hostile(content, random):
    """An operation that reads from or writes to another tensor."""
    model = _model(content)
    graph = model.subgraphs[0]
    operator = _choose(graph.operators, random)
    name = ("inputs", "outputs")[random.integers(2)]
    indices = np.array(getattr(operator, name))
    others = (*range(len(graph.tensors)), -2, len(graph.tensors), 2**31 - 1)
    indices[random.integers(indices.size)] = random.choice(others)
    setattr(operator, name, indices)
    return _packed(model)


def operation_hostile(content, random):
    """Another operation under the same options."""
    model = _model(content)
    code = _choose(model.operatorCodes, random)
    code.builtinCode = int(random.integers(200))
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    return _packed(model)


def options_hostile(content, random):
    """An option of an operation out of its range, such as a stride of 0."""
    model = _model(content)
    with_options = [
        operator.builtinOptions
        for operator in model.subgraphs[0].operators
        if operator.builtinOptions is not None and vars(operator.builtinOptions)
    ]
    options = _choose(with_options, random)
    numbers = [
        name
        for name, value in vars(options).items()
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    if numbers:
        name = numbers[random.integers(len(numbers))]
        small = "Function" in name or name in ("padding", "quantizedBiasType")
        values = (0, 1, 2, 3, 5, 100) if small else _SIZES
        setattr(options, name, int(random.choice(values)))
    return _packed(model)


def type_hostile(content, random):
    """A tensor of another number type, or with other bytes behind it."""
    model = _model(content)
    tensor = _choose(model.subgraphs[0].tensors, random)
    if random.random() < 0.5:
        tensor.type = int(random.integers(20))
    else:
        tensor.buffer = int(random.integers(len(model.buffers)))
    return _packed(model)


def scale_hostile(content, random):
    """A quantization scale of 0, NaN or infinity."""
    model = _model(content)
    scaled = [
        tensor.quantization
        for tensor in model.subgraphs[0].tensors
        if tensor.quantization is not None
        and tensor.quantization.scale is not None
    ]
    if scaled:
        parameters = _choose(scaled, random)
        scale = np.array(parameters.scale)
        scale[random.integers(scale.size)] = random.choice(_SCALES)
        parameters.scale = scale
    return _packed(model)


KINDS = {
    function.__name__: function
    for function in (
        truncated,
        flipped,
        zeroed,
        spliced,
        lengths,
        something_else,
        shape_hostile,
        input_hostile,
        index_hostile,
        operation_hostile,
        options_hostile,
        type_hostile,
        scale_hostile,
    )
}


def _model(content):
    return schema.ModelT.InitFromPackedBuf(content, 0)


def _packed(model):
    builder = flatbuffers.Builder(2**20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _choose(things, random):
    return things[random.integers(len(things))]
