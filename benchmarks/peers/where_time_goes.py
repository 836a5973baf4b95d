"""Measure where the time of a step goes, and what bounds it.

    python benchmarks/peers/where_time_goes.py
    python benchmarks/peers/where_time_goes.py --contenders=plain_float32

Runs steps of Keras contenders under TensorFlow's profiler and adds up what
each operation's kernel took: by kind, and by part of the step as far as the
names of operations tell. Work that a kernel hands to other threads counts as
the time it waits for them; kernels that run side by side are both counted, so
that the sum may exceed the wall time. Beside it the least time that the step's
convolutions can take here: their multiplications at the rate of the fastest
convolution measured. Writes a Markdown file to benchmarks/results/.
"""

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import collections
import re
import tempfile
import time
from pathlib import Path

import contenders
import keras
import keras_contender
import tensorflow as tf
from absl import app
from absl import flags

# Installed with TensorFlow; its format is public, this import is not.
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from keras_ft.artifacts import write_text

RESULTS = Path(__file__).resolve().parents[1] / "results"
PAIR = flags.DEFINE_enum(
    "pair", "resnet56_resnet20", list(contenders.PAIRS), "Teacher and student."
)
PHASE = flags.DEFINE_enum("phase", "2", ["1", "2"], "Which training.")
CONTENDERS = flags.DEFINE_list(
    "contenders",
    ["plain_float32", "ours_bfloat16", "ours_cached_bfloat16"],
    "Their names.",
)
BATCH = flags.DEFINE_integer("batch", 128, "Images in a step.")
STEPS = flags.DEFINE_integer("steps", 10, "Steps that are added up.")
ROWS = flags.DEFINE_integer("rows", 12, "Kinds of operations shown.")
OUT = flags.DEFINE_string("out", None, "The file.")

# Height, width and channels of convolutions in the networks measured; the
# fastest of them tells what the processor can do.
SHAPES = ((32, 32, 16), (16, 16, 32), (8, 8, 64), (16, 16, 64), (8, 8, 128))
CHAIN, REPEATS = 8, 15

# Found in a name, in order of precedence.
PARTS = {
    "gradient_tape": "backward",
    "sgd": "optimizer",
    "folded": "teacher, folded",
    r"/(factor|paraphraser)(_\d+)?/": "paraphraser, translator, distance",
    "": "student's forward, losses, metrics, the rest",
}


def traced(steps, count):
    """Return events of TensorFlow's operations, and wall seconds."""
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            start = time.perf_counter()
            steps(count)
            passed = time.perf_counter() - start
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    return list(operations(space)), passed


def operations(space):
    """Return name, kind and milliseconds of every operation that ran."""
    for plane in space.planes:
        names = {key: m.name for key, m in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                name, colon, kind = names[event.metadata_id].rpartition(":")
                # An operation is "path/of/it:Kind"; "Class::Method" is none.
                inner = colon and kind.isidentifier() and name[-1:] != ":"
                if inner and not kind.endswith("PartitionedCall"):
                    yield name, kind, event.duration_ps / 1e9


def part(name):
    """Return the part of the step that an operation's name tells."""
    return next(x for pattern, x in PARTS.items() if re.search(pattern, name))


def table(events, steps, passed, show):
    """Return Markdown: milliseconds per step by part and by kind."""
    wall = 1000 * passed / steps
    yield f"{wall:.1f} ms with the profiler on."
    keys = {
        "part": lambda event: part(event[0]),
        "operation": lambda event: event[1],
    }
    for title, key in keys.items():
        total, calls = collections.Counter(), collections.Counter()
        for event in events:
            total[key(event)] += event[2]
            calls[key(event)] += 1
        everything = sum(total.values())
        yield f"\n| {title} | ms | share | calls |\n|---|---|---|---|"
        for name, spent in total.most_common(show):
            yield (
                f"| {name} | {spent / steps:.2f} | "
                f"{100 * spent / everything:.1f} % | {calls[name] // steps} |"
            )
        yield f"| all | {everything / steps:.2f} | 100 % | |"


def fastest(dtype):
    """Return GFLOP/s of the fastest convolutions."""
    return max(rate(shape, dtype) for shape in SHAPES)


def rate(shape, dtype):
    """Return that of 3x3 convolutions one after the other."""
    height, width, channels = shape
    images = tf.cast(tf.random.normal((BATCH.value, *shape)), dtype)
    # Outputs stay as large as inputs.
    kernel = (
        tf.random.normal((3, 3, channels, channels)) / (9 * channels) ** 0.5
    )
    kernel = tf.cast(kernel, dtype)

    @tf.function
    def chain(x):
        for _ in range(CHAIN):
            x = tf.nn.conv2d(x, kernel, 1, "SAME")
        return x

    chain(images)
    least = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        chain(images)
        least = min(least, time.perf_counter() - start)
    one = BATCH.value * height * width * 9 * channels**2
    return 2 * CHAIN * one / least / 1e9


def macs(network):
    """Return multiplications of a network's convolutions, for one image."""
    return sum(
        layer.kernel.shape.num_elements()
        * layer.output.shape[1]
        * layer.output.shape[2]
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D)
    )


def bound(options, policy):
    """Return a sentence on the convolutions alone, both networks'."""
    teacher, student = (
        2 * BATCH.value * macs(keras_contender.network(name)) / 1e9
        for name in contenders.PAIRS[PAIR.value]
    )
    runs_teacher = options["kind"] == "distil" and not options.get("cached")
    # Forward, and backward to the images and to the kernels.
    work = 3 * student + teacher * runs_teacher
    speed = fastest("bfloat16" if "bfloat16" in policy else "float32")
    return (
        f"The convolutions of student{' and teacher' * runs_teacher} are "
        f"{work:.1f} GFLOP a step: at the {speed:.0f} GFLOP/s of the fastest "
        f"convolution measured here in {policy}, {1000 * work / speed:.0f} ms."
    )


def report(name):
    """Return one contender's part of the file."""
    contender = contenders.PHASES[int(PHASE.value)][name]
    teacher, student = contenders.PAIRS[PAIR.value]
    task = {
        "teacher": teacher,
        "student": student,
        "batch": BATCH.value,
        "options": contender.options,
    }
    keras.config.set_dtype_policy("float32")
    steps, facts = keras_contender.build(task)
    steps(5)
    start = time.perf_counter()
    steps(STEPS.value)
    wall = 1000 * (time.perf_counter() - start) / STEPS.value
    events, passed = traced(steps, STEPS.value)
    yield f"## {contender.label}\n\n{wall:.1f} ms per step; "
    yield from table(events, STEPS.value, passed, ROWS.value)
    if PHASE.value == "2":
        keras.config.set_dtype_policy("float32")
        yield f"\n{bound(contender.options, contender.options['policy'])}"
    done = facts()["accelerated"]
    if done:
        yield f"\nTeacher {done['teacher']}; student {done['student']}."


def main(_):
    phase = contenders.PHASES[int(PHASE.value)]
    known = [name for name, c in phase.items() if not c.torch]
    if not set(CONTENDERS.value) <= set(known):
        raise app.UsageError(f"--contenders: of {', '.join(known)}")
    teacher, student = contenders.PAIRS[PAIR.value]
    parts = [f"# Where a step's time goes: {teacher} to {student}\n"]
    parts.append(f"Phase {PHASE.value}, batch {BATCH.value}; ms per step.\n")
    for name in CONTENDERS.value:
        parts += [*report(name), ""]
    text = "\n".join(parts)
    default = RESULTS / f"where_time_goes_{PAIR.value}.md"
    write_text(Path(OUT.value or default), text)
    print(text)


if __name__ == "__main__":
    app.run(main)
