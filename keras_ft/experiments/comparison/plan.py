"""What is to be compared, and where it goes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_ft.errors import InputError
from keras_ft.experiments.comparison.method import Method
from keras_ft.experiments.comparison.method_settings import MethodSettings
from keras_ft.experiments.comparison.teacher_outputs import check_choice
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings


@dataclass(frozen=True)
class Plan:
    """Everything a comparison was asked for; it can be pickled.

    Args:
        path: The comparison's folder.
        settings: Of all trainings.
        method_settings: Of the methods beside factor transfer.
        methods: Those that are compared.
        seeds: Those of the trainings.
        teacher_pass: See `TeacherOutputs`.
        exports: Whether students become `.tflite` files.
        command_line: Kept for the record.

    Raises:
        InputError: Some of it cannot be done.
    """

    path: Path
    settings: Settings
    method_settings: MethodSettings
    methods: tuple[Method, ...]
    seeds: tuple[int, ...]
    teacher_pass: str = "auto"
    exports: bool = True
    command_line: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice(self.teacher_pass)
        recipe = self.settings.recipe
        first, second = recipe.paraphrase.batch_size, recipe.distil.batch_size
        if any(m.has("ft") for m in self.methods) and first != second:
            raise InputError(
                "recipe",
                f"batches of {first} in phase 1 and of {second} in phase 2",
                "one size, as both phases share the teacher's outputs",
                "Set one batch size for both.",
            )

    @property
    def epochs(self) -> int:
        """Of the longest training: so many batches every seed has."""
        recipe = self.settings.recipe
        return max(recipe.distil.epochs, recipe.paraphrase.epochs)

    @property
    def configuration(self) -> dict[str, Any]:
        """Everything that decides the result of a training."""
        return {
            "command": "compare",
            **self.settings.configuration(),
            "method_settings": self.method_settings.to_dict(),
        }

    def folder(self, name: str, seed: int) -> Path:
        """Where a training is."""
        return self.path / f"{name}-seed{seed}"

    def open(self, name: str, seed: int) -> RunFolder:
        """The run folder of a training, to be entered."""
        own = {"method": name, "training_seed": seed}
        return RunFolder(
            self.folder(name, seed),
            self.configuration | own,
            self.command_line,
        )
