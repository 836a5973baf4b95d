"""List who takes part, and what is measured. Imports no framework."""

from dataclasses import dataclass
from dataclasses import field
from typing import Any

CLASSES = 10
IMAGE = (32, 32, 3)
RATE = 0.5
BETA = 500.0
# Step time does not depend on them. Tiny, so that nothing overflows: features
# of an untrained ResNet-56 go up to 60,000.
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-9, 0.9, 5e-4

# Teacher and student, as keras_ft.zoo names them.
PAIRS = {
    "resnet56_resnet20": ("resnet56", "resnet20"),
    "wrn40_2_wrn16_2": ("wrn40_2", "wrn16_2"),
    "vgg13_vgg8": ("vgg13", "vgg8"),
    "toy": ("resnet14", "resnet8"),
}


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        label: The row's name, for people.
        module: The file beside this one whose `build` makes it.
        torch: Whether it runs in the PyTorch environment.
        options: What `build` needs to know.
    """

    label: str
    module: str
    torch: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def _keras(label: str, kind: str, policy: str, **options: Any) -> Contender:
    options = {"kind": kind, "policy": policy, **options}
    precision = {"mixed_bfloat16": "bfloat16"}.get(policy, policy)
    label = f"{label}, {precision}"
    return Contender(label, "keras_contender", options=options)


def _torch(label: str, **options: Any) -> Contender:
    return Contender(label, "torch_contender", torch=True, options=options)


def _both(name: str, *arguments: str, **options: Any) -> dict[str, Contender]:
    label, kind = arguments
    return {
        f"{name}_float32": _keras(label, kind, "float32", **options),
        f"{name}_bfloat16": _keras(label, kind, "mixed_bfloat16", **options),
    }


def _loops(phase: int) -> dict[str, Contender]:
    published = "PyTorch, official loop, float32"
    tuned = "PyTorch, official loop, bfloat16 channels last"
    found = {}
    for name, label, fast in (
        ("torch_float32", published, False),
        ("torch_bfloat16", tuned, True),
    ):
        for cached in (False, True):
            suffix, more = ("_cached", ", cached") if cached else ("", "")
            found[name + suffix] = _torch(
                label + more, phase=phase, bfloat16=fast, cached=cached
            )
    return found


# The first of each phase is what the others are compared with.
PHASE_2 = {
    **_both("plain", "plain Keras `fit`", "plain"),
    "ours_none_float32": _keras(
        'FactorTransfer, acceleration="none"',
        "distil",
        "float32",
        acceleration="none",
    ),
    **_both("ours", "FactorTransfer", "distil", acceleration="auto"),
    **_both(
        "ours_cached",
        "FactorTransfer, cached",
        "distil",
        acceleration="auto",
        cached=True,
    ),
    **_both("stock", "Keras' Distiller, features", "stock"),
    "torchdistill": Contender(
        "torchdistill, Factor Transfer", "torchdistill_contender", torch=True
    ),
    **_loops(2),
}
PHASE_1 = {
    "ours_none_float32": _keras(
        'ParaphraserTrainer, acceleration="none"',
        "paraphrase",
        "float32",
        acceleration="none",
    ),
    **_both("ours", "ParaphraserTrainer", "paraphrase", acceleration="auto"),
    **_both(
        "ours_cached",
        "ParaphraserTrainer, cached",
        "paraphrase",
        acceleration="auto",
        cached=True,
    ),
    **_loops(1),
}
PHASES = {1: PHASE_1, 2: PHASE_2}
