"""Measure what each augmentation costs the input pipeline.

    python benchmarks/augmentation.py --data_dir=DIR --teacher=FILE.npz
    python benchmarks/augmentation.py --toy

The pipeline of `keras_ft.data.load` alone, with nobody to train, by processor
time: a busy machine changes that less than images per second. Writes a JSON
and a Markdown file to benchmarks/results/.
"""

import kept_runs
import training_task
from absl import flags
from input_pipeline import pipeline_alone

POLICIES = (
    "none",
    "crop",
    "crop+flip",
    "crop+flip+randaugment",
    "crop+flip+mixup",
    "crop+flip+cutmix",
    "crop+flip+randaugment+mixup+cutmix",
)
BATCHES = flags.DEFINE_integer("batches", 782, "Of each augmentation.")


def measure(augment, batches):
    data = training_task.load_data(augment=augment, drop_remainder=True)
    return pipeline_alone(data, batches) | {"batch": data.batch_size}


def table(results):
    rows = results["augmentations"]
    batch = next(iter(rows.values()))["batch"]
    lines = [
        "# What augmentations cost\n",
        f"The pipeline of {results['data']} alone, {results['batches']} "
        f"batches of {batch}; processor time is that of all threads "
        "together.\n",
        "| augment | processor ms per batch |",
        "|---|---|",
    ]
    lines += [
        f"| {name} | {row['processor_ms_per_batch']:.1f} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


def benchmark():
    batches = 20 if kept_runs.TOY.value else BATCHES.value
    runs = kept_runs.KeptRuns("augmentation", training_task.settings())
    results = {
        "data": training_task.data_name(),
        "batches": batches,
        "augmentations": {
            augment: runs.get(augment=augment, batches=batches)
            for augment in POLICIES
        },
    }
    kept_runs.write("augmentation", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
