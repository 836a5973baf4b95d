"""Measure what each kind of phone file costs and keeps.

    python benchmarks/phone_files.py
    python benchmarks/phone_files.py --data_dir=DIR \
        --teacher=resnet56.npz --student=resnet20.npz
    python benchmarks/phone_files.py --toy

Students of four families are distilled on the embedded images; with arrays of
a public teacher and student, ResNet-20 on real CIFAR-10 is measured as well.
Each student becomes a float, float16, dynamic-range and int8 file, and is
fine-tuned by its distiller's own loss for QAT, pruning, clustering and all
three. Accuracy and agreement are of the written file in LiteRT on the whole
test set. Latencies come last, file by file in turns, on an otherwise quiet
machine. Writes a JSON and a Markdown file to benchmarks/results/.
"""

import os
import statistics

import kept_runs
import keras
from absl import flags

import keras_ft
from keras_ft import experiments
from keras_ft.compression import compress
from keras_ft.data.normalization import IMAGENET
from keras_ft.export import ExportError
from keras_ft.export import to_tflite
from keras_ft.export.latency import machine
from keras_ft.export.latency import measure_latency

DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared TFDS folder.")
TEACHER = flags.DEFINE_string("teacher", None, "CIFAR-10 ResNet, .npz arrays.")
STUDENT = flags.DEFINE_string("student", None, "CIFAR-10 ResNet, .npz arrays.")
NETWORKS = flags.DEFINE_list(
    "networks", None, "Only these; what is measured is kept for the others."
)
EPOCHS = flags.DEFINE_integer("epochs", 5, "Of each stage.", lower_bound=1)
STEPS = flags.DEFINE_integer(
    "steps", 100, "Per epoch on CIFAR-10; the embedded images are seen whole."
)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 3e-4, "Of each stage.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Of latencies, in turns.")

EMBEDDED = ("resnet20", "wrn16_1", "vgg8", "mobilenet_v2_small")
CIFAR10 = "resnet20 on CIFAR-10"
# Kind of file: how the student is compressed before, and its quantization.
KINDS = {
    "float32": (None, "none"),
    "float16": (None, "float16"),
    "dynamic range": (None, "dynamic"),
    "int8 PTQ": (None, "int8"),
    "int8 QAT + FT": ("qat", "int8"),
    "pruned + FT, dynamic range": ("prune", "dynamic"),
    "clustered + FT, dynamic range": ("cluster", "dynamic"),
    "int8 PCQAT + FT": ("pcqat", "int8"),
}


def folder(network):
    """Return where the networks and files of one student are."""
    return kept_runs.folder("phone_files") / network.replace(" ", "_")


def prepare(network):
    """Write student, teacher, paraphraser and translator as files."""
    if network == CIFAR10:
        return _prepare_public(network)
    distill, paraphrase = (1, 1) if kept_runs.TOY.value else (20, 4)
    recipe = keras_ft.Recipe.preset("official")
    recipe = recipe.replace(
        distill=recipe.distill.changed(epochs=distill),
        paraphrase=recipe.paraphrase.changed(epochs=paraphrase),
    )
    settings = experiments.Settings(
        recipe=recipe,
        teacher="fashion_mini",
        student=network,
        train_examples=256 if kept_runs.TOY.value else None,
    )
    metrics = experiments.distill(folder(network), settings)
    return {"says": f"{metrics['ft_accuracy']:.2%}"}


def _prepare_public(network):
    """Load public weights; train paraphraser and translator alone."""
    home = folder(network)
    home.mkdir(parents=True, exist_ok=True)
    data = load_data(network)
    teacher = keras_ft.zoo.load_torch_resnet(TEACHER.value)
    student = keras_ft.zoo.load_torch_resnet(STUDENT.value)
    recipe = keras_ft.Recipe.preset("official").short(1, 1)
    keras.utils.set_random_seed(0)
    paraphraser = recipe.paraphraser()
    trainer = recipe.paraphraser_trainer(teacher, paraphraser)
    trainer.compile(recipe.paraphrase.optimizer(data.steps_per_epoch))
    trainer.fit(data.train, verbose=0)
    model = recipe.distiller(teacher, student, paraphraser)
    student.trainable = False
    model.compile(recipe.distill.optimizer(STEPS.value), _cross_entropy())
    model.fit(data.train, steps_per_epoch=STEPS.value, verbose=0)
    student.trainable = True
    for name, layer in (
        ("paraphraser", model.paraphraser),
        ("translator", model.translator),
    ):
        tapped = teacher if name == "paraphraser" else student
        tap = next(tap for tap in keras_ft.taps(tapped) if tap.default)
        whole = keras.Sequential([keras.Input(tap.shape), layer])
        whole.save(home / f"{name}.keras")
    teacher.save(home / "teacher.keras")
    student.save(home / "student.keras")
    return {"says": "public weights"}


def load_data(network):
    if network == CIFAR10:
        return keras_ft.data.load(
            "cifar10",
            128,
            DATA_DIR.value,
            normalization=IMAGENET,
            validation_fraction=0.0,
        )
    with experiments.RunFolder(folder(network)) as run:
        return experiments.load_run_data(run)


def _cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def load_distiller(network):
    """Return the distiller as it was at the end of the student's training."""

    def load(name):
        return keras.models.load_model(folder(network) / f"{name}.keras")

    recipe = keras_ft.Recipe.preset("official")
    return keras_ft.FactorTransfer(
        load("teacher"),
        load("student"),
        load("paraphraser").layers[-1],
        load("translator").layers[-1],
        beta=recipe.beta,
        p=recipe.p,
    )


def measure(network, kind):
    """Write one file of one student; return what it keeps and costs."""
    if kind == "prepare":
        return prepare(network)
    method, quantization = KINDS[kind]
    data = load_data(network)
    model = load_distiller(network)
    student = model.student
    if method is not None:
        keras.utils.set_random_seed(0)
        student = compress(
            model,
            method,
            data.train,
            epochs=1 if kept_runs.TOY.value else EPOCHS.value,
            steps_per_epoch=STEPS.value if network == CIFAR10 else None,
            learning_rate=LEARNING_RATE.value,
            verbose=0,
        )
    images, labels = data.examples("test", data.sizes["test"])
    calibration, _ = data.examples("train", min(512, data.sizes["train"]))
    path = folder(network) / f"{kind.replace(' ', '_')}.tflite"
    try:
        result = to_tflite(
            student,
            path,
            quantization,
            calibration=calibration,
            normalization=data.normalization,
            class_names=data.class_names,
            samples=images,
            labels=labels,
        )
    except ExportError as error:
        return {
            "refusal": str(error),
            "says": f"refused: {error.received or error}",
        }
    return {
        "file": path.name,
        "bytes": result.bytes,
        "gzip_bytes": result.gzip_bytes,
        "agreement": result.agreement,
        "max_error": result.max_error,
        "accuracy": result.accuracy,
        "keras_accuracy": result.keras_accuracy,
        "logit_step": result.logit_step,
        "median_margin": result.median_margin,
        "samples": result.samples,
        "says": f"{result.accuracy:.2%}, {result.bytes:,} bytes",
    }


def networks():
    """Return the students to measure; the public one where it is given."""
    if kept_runs.TOY.value:
        return ("resnet8",)
    known = (*EMBEDDED, CIFAR10) if STUDENT.value else EMBEDDED
    return [name for name in known if name in (NETWORKS.value or known)]


def add_latencies(rows):
    """Add medians of rounds in turns, so that no file has the quiet minute."""
    files = [row for row in rows if "file" in row]
    times = {id(row): {1: [], 2: []} for row in files}
    for _ in range(1 if kept_runs.TOY.value else ROUNDS.value):
        for row in files:
            path = folder(row["network"]) / row["file"]
            for found in measure_latency(path):
                times[id(row)][found.threads].append(found.median_ms)
    for row in files:
        row["milliseconds"] = {
            threads: statistics.median(several)
            for threads, several in times[id(row)].items()
        }


def table(results):
    parts = [
        "# Files for the phone\n",
        f"Latencies: {results['machine']}; one image, median of "
        f"{results['rounds']} rounds in turns. They are not a phone's. "
        "Accuracy and agreement: the written file in LiteRT on the whole test "
        "set; agreement is with the network it was made of, after fine-tuning "
        "where there was one. Gzip is what a download costs: zeros and "
        "shared values show there only.\n",
    ]
    for network in dict.fromkeys(row["network"] for row in results["rows"]):
        mine = [row for row in results["rows"] if row["network"] == network]
        parts += [f"## {network}\n", *_of_a_network(mine)]
    return "\n".join(parts)


def _of_a_network(rows):
    lines = [
        "| file | accuracy | agreement | bytes | gzip | ms, 1 thread | ms, 2 |",
        "|---|---|---|---|---|---|---|",
    ]
    reasons = []
    for row in rows:
        if "refusal" in row:
            lines.append(f"| {row['kind']} | refused | | | | | |")
            reasons.append(f"{row['kind']} was refused: {row['refusal']}\n")
            continue
        one, two = row["milliseconds"].values()
        lines.append(
            f"| {row['kind']} | {100 * row['accuracy']:.2f} % | "
            f"{100 * row['agreement']:.2f} % | {row['bytes']:,} | "
            f"{row['gzip_bytes']:,} | {one:.3f} | {two:.3f} |"
        )
    return [*lines, "", *reasons]


def benchmark():
    shared = {
        "teacher": os.path.basename(TEACHER.value or ""),
        "student": os.path.basename(STUDENT.value or ""),
        "epochs": EPOCHS.value,
        "steps": STEPS.value,
        "learning_rate": LEARNING_RATE.value,
    }
    kept = kept_runs.KeptRuns("phone_files", shared)
    rows = []
    for network in networks():
        kept.get(network=network, kind="prepare")
        for kind in KINDS:
            found = kept.get(network=network, kind=kind)
            rows.append({"network": network, "kind": kind, **found})
    add_latencies(rows)
    results = {
        "machine": machine(),
        "rounds": ROUNDS.value,
        "shared": shared,
        "rows": rows,
    }
    kept_runs.write("phone_files", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
