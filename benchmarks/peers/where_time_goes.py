"""Where the time of one contender's step goes, by kind of operation.

    python benchmarks/peers/where_time_goes.py
    python benchmarks/peers/where_time_goes.py --contender=plain_float32

Runs steps of a Keras contender under TensorFlow's profiler and adds up what
each operation's kernel took: by kind, and by part of the step as far as the
names of operations tell. Work that a kernel hands to other threads counts as
the time it waits for them; kernels that run side by side are both counted, so
that the sum may exceed the wall time. Prints Markdown.
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
import keras_contender
import tensorflow as tf
from absl import app
from absl import flags

# Installed with TensorFlow; its format is public, this import is not.
from tensorflow.tsl.profiler.protobuf import xplane_pb2

PAIR = flags.DEFINE_enum(
    "pair", "resnet56_resnet20", list(contenders.PAIRS), "Teacher and student."
)
PHASE = flags.DEFINE_enum("phase", "2", ["1", "2"], "Which training.")
CONTENDER = flags.DEFINE_string("contender", "ours_bfloat16", "Its name.")
BATCH = flags.DEFINE_integer("batch", 128, "Images in a step.")
STEPS = flags.DEFINE_integer("steps", 10, "Steps that are added up.")
ROWS = flags.DEFINE_integer("rows", 25, "Kinds of operations shown.")

# Found in a name, in order of precedence.
PARTS = {
    "gradient_tape": "backward",
    "sgd": "optimizer",
    "folded": "teacher, folded",
    r"/(factor|paraphraser)(_\d+)?/": "paraphraser, translator, distance",
    "": "student's forward, losses, metrics, the rest",
}


def traced(steps, count):
    """Events of TensorFlow's operations over some steps, and wall seconds."""
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            start = time.perf_counter()
            steps(count)
            passed = time.perf_counter() - start
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    return list(operations(space)), passed


def operations(space):
    """Name, kind and milliseconds of every operation that ran."""
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
    """The part of the step that an operation's name tells."""
    return next(x for pattern, x in PARTS.items() if re.search(pattern, name))


def table(events, steps, passed, show):
    """Markdown: milliseconds per step by part and by kind."""
    wall = 1000 * passed / steps
    yield f"{wall:.1f} ms per step with the profiler on."
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


def main(_):
    phase = contenders.PHASES[int(PHASE.value)]
    contender = phase.get(CONTENDER.value)
    if contender is None or contender.torch:
        names = [name for name, c in phase.items() if not c.torch]
        raise app.UsageError(f"--contender: one of {', '.join(names)}")
    teacher, student = contenders.PAIRS[PAIR.value]
    task = {
        "teacher": teacher,
        "student": student,
        "batch": BATCH.value,
        "options": contender.options,
    }
    steps, facts = keras_contender.build(task)
    steps(5)
    events, passed = traced(steps, STEPS.value)
    print(f"# {contender.label}: {teacher} to {student}, batch {BATCH.value}\n")
    print(*table(events, STEPS.value, passed, ROWS.value), sep="\n")
    print(f"\n{facts()}")


if __name__ == "__main__":
    app.run(main)
