"""The published settings, each with where it was read."""

import dataclasses

from keras_ft.optimizers import Schedule
from keras_ft.recipes.recipe import Recipe

_OFFICIAL_BACKBONE = Schedule(
    epochs=164,
    batch_size=128,
    learning_rate=0.1,
    weight_decay=5e-4,
    milestones=(82, 123),
)

OFFICIAL = Recipe(
    name="official",
    source="Jangho-Kim/Factor-Transfer-pytorch 19cce26, CIFAR-10",
    teacher=_OFFICIAL_BACKBONE,
    # range(0, 5 + 1) epochs; its milestones 150 and 225 are never reached.
    paraphrase=Schedule(
        epochs=6,
        batch_size=128,
        learning_rate=0.1,
        weight_decay=5e-4,
        milestones=(150, 225),
    ),
    distil=_OFFICIAL_BACKBONE,
)

PAPER = OFFICIAL.replace(
    name="paper",
    source="arXiv:1802.04977, equations as quoted by three implementations; "
    "learning rate from an implementer's note that L2 at 0.1 diverges",
    paraphrase=dataclasses.replace(OFFICIAL.paraphrase, learning_rate=0.01),
    reconstruction_loss="l2",
)

_REPDISTILLER = Schedule(
    epochs=240,
    batch_size=64,
    learning_rate=0.05,
    weight_decay=5e-4,
    milestones=(150, 180, 210),
)

REPDISTILLER = Recipe(
    name="repdistiller",
    source="HobbitLong/RepDistiller b84f547, CIFAR-100; not the paper's "
    "factor: it compares attention maps of the factors",
    teacher=_REPDISTILLER,
    paraphrase=Schedule(
        epochs=30, batch_size=64, learning_rate=0.01, weight_decay=5e-4
    ),
    distil=_REPDISTILLER,
    rounding="floor",
    beta=200.0,
    form="attention",
    reconstruction_loss="l2",
    translator_batch_normalization=True,
)

_TORCHDISTILL = Schedule(
    epochs=90,
    batch_size=256,
    learning_rate=0.1,
    weight_decay=1e-4,
    milestones=(30, 60),
)

TORCHDISTILL = Recipe(
    name="torchdistill",
    source="yoshitomo-matsubara/torchdistill 3e4373c, ImageNet "
    "ResNet-34 > ResNet-18",
    teacher=_TORCHDISTILL,
    paraphrase=Schedule(
        epochs=1, batch_size=256, learning_rate=0.01, weight_decay=1e-4
    ),
    distil=_TORCHDISTILL,
    rounding="floor",
    beta=1000.0,
    reconstruction_loss="l2",
)

PRESETS = {
    recipe.name: recipe
    for recipe in (OFFICIAL, PAPER, REPDISTILLER, TORCHDISTILL)
}
