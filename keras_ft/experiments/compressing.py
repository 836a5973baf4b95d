"""A finished run's student, trained smaller beside its teacher."""

from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft.compression import compress
from keras_ft.compression.stages import check_export
from keras_ft.experiments import models
from keras_ft.experiments.balancing import beta_of
from keras_ft.experiments.exporting import export_into
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.workbench import load_run_data
from keras_ft.models.distiller import Distiller
from keras_ft.recipes import Recipe


def export_compressed(
    run_dir: artifacts.PathLike,
    method: str,
    quantization: str = "int8",
    data_dir: artifacts.PathLike | None = None,
    fallback: str | None = None,
    epochs: int = 5,
) -> tuple[Path, dict[str, Any]]:
    """Compress a run's student with the run's own loss, and write its file.

    Teacher, paraphraser and translator are the run's; `student.keras` stays
    as it is.

    Args:
        run_dir: The run's folder; the file is put there and recorded.
        method: See `compression.compress`.
        quantization: See `export.to_tflite`; int8 after `"qat"` and what ends
            in it.
        data_dir: Where prepared datasets are.
        fallback: See `export.to_tflite`. The file is named after what it is.
        epochs: Of each stage of the method.

    Returns:
        The file, and what `export_student` returns.

    Raises:
        InputError: The folder has no finished student, an argument is of no
            use, or the file is not good enough.

    Example:

    >>> path, result = export_compressed("runs/first", "qat")
    >>> path.name, result["accuracy"] - result["keras_accuracy"]
    ('student_qat_int8.tflite', 0.0)
    """
    check_export(method, quantization, fallback)
    with RunFolder(run_dir) as run:
        loaded = load_run_data(run, data_dir)
        small = compress(_distiller(run), method, loaded.train, epochs=epochs)
        return export_into(run, small, loaded, quantization, fallback, method)


def _distiller(run: RunFolder) -> Distiller:
    """The run's model of phase 2, as it was after training."""
    about = run.configuration

    def load(name: str) -> Any:
        return models.load_recorded(run.path, f"{name}.keras")

    distiller = Recipe.from_dict(about["recipe"]).distiller(
        load("teacher"),
        load("student"),
        load("paraphraser").layers[-1],
        teacher_layer_name=about["teacher_layer"],
        student_layer_name=about["student_layer"],
        acceleration=about["acceleration"],
    )
    distiller.transfers[0].beta = beta_of(run)
    translator = load("translator").layers[-1]
    distiller.transfers[0].translator.set_weights(translator.get_weights())
    return distiller
