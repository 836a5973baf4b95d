"""Compare the beta that `--beta=auto` measures with a grid of constants.

    python benchmarks/choose_beta.py --task=few
    python benchmarks/choose_beta.py --task=full
    python benchmarks/choose_beta.py --task=cifar10 --data_dir=DIR \\
        --teacher=FILE.npz
    python benchmarks/choose_beta.py --task=few --toy

Factor Transfer on the embedded images with 500 labels (few) or all (full),
ResNet-8, 20 epochs; or four epochs of CIFAR-10, a trained ResNet-56 and a
ResNet-20. Every seed has one pass of the teacher and one phase 1, and then a
training for each beta by keras-tuner's grid search: the same initial weights,
batches and paraphraser. `suggest_beta` measures with its default ratio, and
its answer is one more beta of the grid. A stopped one goes on. Writes
benchmarks/results/choose_beta_<task>.*.
"""

import shutil
import statistics

import compared
import kept_runs
import keras
import keras_tuner
from absl import app
from absl import flags

import keras_ft
from keras_ft import artifacts
from keras_ft.experiments import networks
from keras_ft.experiments.evaluation import evaluate
from keras_ft.experiments.training import compile_model

TASK = flags.DEFINE_enum("task", "few", ["few", "full", "cifar10"], "Which.")
SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings of each beta.")
FIRST_SEED = flags.DEFINE_integer("first_seed", 100, "The first of them.")
BETAS = flags.DEFINE_multi_float("beta", [20, 50, 100, 200, 500], "The grid.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared TFDS folder.")
TEACHER = flags.DEFINE_string("teacher", None, "ResNet-56 arrays (.npz).")

EPOCHS = {"few": 20, "full": 20, "cifar10": 4}


@flags.multi_flags_validator(
    ["task", "data_dir", "teacher"], "CIFAR-10 needs --data_dir and --teacher."
)
def _has_data(values):
    return values["task"] != "cifar10" or (
        values["data_dir"] and values["teacher"]
    )


def main(_):
    rows = []
    for number in range(SEEDS.value):
        seed = FIRST_SEED.value + number
        folder = kept_runs.folder("choose_beta") / f"{TASK.value}-{seed}"
        file = folder / "rows.json"
        if not file.is_file():
            artifacts.write_json(file, measure(seed, folder))
            # All that is large, and not needed for another answer.
            shutil.rmtree(folder / "cache" / "features")
        rows += artifacts.read_json(file)
        write(rows, number + 1)


def measure(seed, folder):
    """Train a student for every beta; return a row for each."""
    folder.mkdir(parents=True, exist_ok=True)
    toy, cifar10 = kept_runs.TOY.value, TASK.value == "cifar10"
    student_name = "resnet20" if cifar10 else "resnet8"
    teacher_name = TEACHER.value if cifar10 else "fashion_mini"
    teacher = networks.teacher(teacher_name)
    data = keras_ft.data.load(
        "cifar10" if cifar10 else "fashion_mini",
        data_dir=DATA_DIR.value,
        batch_size=128,
        seed=seed,
        normalization=networks.recorded_normalization(teacher_name),
        train_examples=256 if toy else None,
        labelled_examples=(64 if toy else 500) if TASK.value == "few" else None,
    )
    epochs = 1 if toy else EPOCHS[TASK.value]
    lengths = {"epochs": epochs, "paraphrase_steps": 2 if toy else 1000}
    recipe = keras_ft.Recipe.preset("official")
    recipe = recipe.scheduled(schedule="linear", **lengths)

    def search(betas):
        hypermodel = keras_ft.tuner.FactorTransferHyperModel(
            teacher,
            student_name,
            data,
            folder / "cache",
            rates=(recipe.rate,),
            betas=betas,
            recipe=recipe,
            views=epochs,
            seed=seed,
        )
        tuner = keras_tuner.GridSearch(
            hypermodel,
            objective="val_accuracy",
            seed=1,
            directory=folder,
            project_name="search",
            overwrite=True,  # It takes what is trained from the folder.
        )
        tuner.search(verbose=0)
        return tuner

    search(tuple(BETAS.value))
    found = suggest(teacher, student_name, data, folder, recipe, seed)
    tuner = search((*BETAS.value, found))
    rows = []
    for trial in tuner.oracle.get_best_trials(len(BETAS.value) + 1):
        beta = trial.hyperparameters.values["beta"]
        student = tuner.load_model(trial)
        accuracy = evaluate(student, data.test, data.classes).accuracy
        rows.append(
            {
                "seed": seed,
                "processor": kept_runs.environment()["processor"],
                "beta": beta,
                "name": f"{beta:g}" if beta in BETAS.value else "auto",
                "validation": trial.score,
                "accuracy": accuracy,
            }
        )
    return rows


def suggest(teacher, student_name, data, folder, recipe, seed):
    """Return what --beta=auto would take."""
    (file,) = (folder / "cache" / "paraphrasers").glob("*/paraphraser.keras")
    paraphraser = networks.load(file).layers[-1]
    keras.utils.set_random_seed(seed)
    student = networks.build(student_name, data)
    model = keras_ft.FactorTransfer(
        teacher, student, paraphraser, p=recipe.p, reduction=recipe.reduction
    )
    compile_model(model, data)
    return keras_ft.suggest_beta(model, data.train_from(0)).beta


def write(rows, seeds):
    """Write what so many seeds have found."""
    names = [*(f"{beta:g}" for beta in BETAS.value), "auto"]
    lines = ["| beta | best validation | test accuracy |", "|---|---|---|"]
    means = {}
    for name in names:
        ours = [row for row in rows if row["name"] == name]
        means[name] = statistics.fmean(row["accuracy"] for row in ours)
        measured = [row["beta"] for row in ours]
        title = name
        if name == "auto":
            title += f" ({min(measured):.0f} to {max(measured):.0f})"
        cells = [compared.spread(ours, k) for k in ("validation", "accuracy")]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    best = max(means.values())
    seeds_of = {}
    for row in rows:
        seeds_of.setdefault(row["processor"], set()).add(str(row["seed"]))
    where = "; ".join(
        f"{', '.join(sorted(seeds_of[p]))} on {p}" for p in seeds_of
    )
    text = (
        f"# beta: {TASK.value}, {EPOCHS[TASK.value]} epochs\n\n{seeds} of "
        f"{SEEDS.value} seeds from {FIRST_SEED.value} on, means and standard "
        "deviations in percent, of the student after its best epoch on the "
        f"validation images. Seeds {where}.\n\n" + "\n".join(lines) + "\n\n"
        f"`--beta=auto` is {100 * (best - means['auto']):.2f} points below the "
        "best of all on the test images.\n"
    )
    kept_runs.write(f"choose_beta_{TASK.value}", {"rows": rows}, text)


if __name__ == "__main__":
    app.run(main)
