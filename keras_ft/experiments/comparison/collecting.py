"""Reads the folders of a comparison's trainings back."""

from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft.experiments.comparison.bench import Bench
from keras_ft.experiments.comparison.comparison import Comparison
from keras_ft.experiments.comparison.method import PLAIN
from keras_ft.experiments.comparison.method import Method
from keras_ft.experiments.comparison.plan import Plan
from keras_ft.experiments.comparison.training_result import TrainingResult
from keras_ft.experiments.comparison.trainings import EXPORT
from keras_ft.experiments.comparison.trainings import PARAPHRASER
from keras_ft.experiments.comparison.trainings import REFUSED
from keras_ft.experiments.run_folder import CHECKPOINTS
from keras_ft.experiments.run_folder import RUN_FILE
from keras_ft.experiments.run_folder import RunFolder

# The fields that `Trainings` keeps under the same name.
_KEPT = (
    "accuracy",
    "validation_last",
    "validation_best",
    "best_epoch",
    "epochs",
    "beta",
    "seconds",
    "memory_bytes",
    "memory_of",
    "parameters",
    "initial_weights",
    "first_batch",
)


def has_trained(plan: Plan) -> bool:
    """Whether any student in the folder was trained to its end."""
    return any(
        "student" in _content(path.parent)[0]
        for path in plan.path.glob(f"*-seed*/{RUN_FILE}")
    )


def has_learned(plan: Plan) -> bool:
    """Whether anything in the folder has begun to learn from the teacher."""
    folders = [path.parent for path in plan.path.glob(f"*-seed*/{RUN_FILE}")]
    return any(
        _content(folder)[0] or any((folder / CHECKPOINTS).glob("*/*"))
        for folder in folders
        if not folder.name.startswith(f"{PLAIN}-seed")
    )


def is_trained(plan: Plan, method: Method, seed: int) -> bool:
    """Whether a student is there; its export may be missing."""
    phases, _ = _content(plan.folder(method.name, seed))
    return "student" in phases


def is_finished(plan: Plan, method: Method, seed: int) -> bool:
    """Whether nothing of a training is left to do."""
    phases, notes = _content(plan.folder(method.name, seed))
    if "student" not in phases:
        return False
    return not plan.exports or EXPORT in phases or REFUSED in notes


def comparison(
    run: RunFolder, bench: Bench, reasons: dict[tuple[str, int], str]
) -> Comparison:
    """Everything that was measured.

    Args:
        run: The comparison's folder, entered.
        bench: What its trainings share.
        reasons: Why trainings failed, by method and seed.
    """
    plan = bench.plan
    trainings = tuple(
        _training_result(plan, method, seed, reasons.get((method.name, seed)))
        for method in plan.methods
        for seed in plan.seeds
    )
    settings, teacher = plan.settings, run.result("teacher")
    notes = run.content["notes"]
    about = {
        "dataset": bench.data.name,
        "train_examples": bench.data.sizes["train"],
        "validation_examples": bench.data.sizes["validation"],
        "test_examples": bench.data.sizes["test"],
        "teacher": _name(settings.teacher or settings.teacher_network),
        "teacher_accuracy": teacher["accuracy"],
        "teacher_parameters": teacher["parameters"],
        "student": _name(settings.student),
        "recipe": settings.recipe.name,
        "epochs": settings.recipe.distil.epochs,
        "paraphrase_epochs": settings.recipe.paraphrase.epochs,
        "teacher_pass": notes["teacher_pass"],
        "teacher_pass_seconds": notes.get("teacher_pass_seconds", 0.0),
        "seconds": round(run.seconds - notes.get("idle_seconds", 0.0), 1),
        "notes": list(bench.data.notes),
        "settings": plan.configuration,
    }
    return Comparison(run.path, trainings, about)


def _training_result(
    plan: Plan, method: Method, seed: int, reason: str | None
) -> TrainingResult:
    folder = plan.folder(method.name, seed)
    phases, notes = _content(folder)
    known: dict[str, Any] = {"reason": reason}
    if "student" in phases:
        result = phases["student"]["result"]
        known |= {name: result.get(name) for name in _KEPT}
    if EXPORT in phases:
        result = phases[EXPORT]["result"]
        known |= {
            "int8_accuracy": result["accuracy"],
            "int8_images": result["samples"],
            "int8_bytes": result["bytes"],
        }
    known["int8_refused"] = notes.get(REFUSED)
    if method.has("ft"):
        first, _ = _content(plan.folder(PARAPHRASER, seed))
        if "paraphrase" in first:
            result = first["paraphrase"]["result"]
            known["paraphrase_seconds"] = result["seconds"]
    return TrainingResult(method.name, seed, folder.name, **known)


def _name(network: str | None) -> str:
    """A file's without the way to it."""
    return Path(network or "").name


def _content(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Phases and notes of a run folder, empty where there is none."""
    if not (folder / RUN_FILE).is_file():
        return {}, {}
    content = artifacts.read_json(folder / RUN_FILE, sealed=True)
    return content["phases"], content["notes"]
