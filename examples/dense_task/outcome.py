"""Show what the example found: a table, a verdict and a picture."""

import statistics

import matplotlib.pyplot as plt
import numpy as np

from keras_ft.experiments.comparison import Difference

ROWS = 5


def table(values):
    """Return Markdown: a row for each seed, mean, deviation, and verdicts.

    Args:
        values: The measure (0 to 1) for each seed, by the training's name.
            Those after the first are compared with it, and the last with all.
    """
    names = list(values)
    columns = [[100 * value for value in values[name]] for name in names]
    rows = {
        str(seed): row for seed, row in enumerate(zip(*columns, strict=True))
    }
    if len(columns[0]) > 1:
        rows["mean"] = [statistics.fmean(column) for column in columns]
        rows["sd"] = [statistics.stdev(column) for column in columns]
    lines = [f"| seed | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [
        f"| {title} | {' | '.join(f'{value:.2f}%' for value in row)} |"
        for title, row in rows.items()
    ]
    pairs = [(ours, names[0]) for ours in names[1:]]
    pairs += [(names[-1], theirs) for theirs in names[1:-1]]
    verdicts = [
        f"- {_difference(values, *pair).sentence(*pair)}." for pair in pairs
    ]
    return "\n".join([*lines, "", *verdicts])


def _difference(values, ours, theirs):
    mine, known = (dict(enumerate(values[name])) for name in (ours, theirs))
    return Difference.of(mine, known)


def draw(path, scenes, networks):
    """Draw some scenes, their classes, and what each network finds."""
    images, classes = scenes[0]
    maps = {"classes": classes} | {
        name: np.argmax(network.predict_on_batch(images), axis=-1)
        for name, network in networks.items()
    }
    size = 1 + len(maps)
    figure, axes = plt.subplots(ROWS, size, figsize=(1.8 * size, 1.8 * ROWS))
    for row, (first, *others) in enumerate(axes):
        first.imshow(images[row, ..., 0], cmap="gray")
        for axis, (name, found) in zip(others, maps.items(), strict=True):
            axis.imshow(found[row], cmap="tab20", vmin=0, vmax=19)
            axis.set_title("" if row else name, fontsize=9)
    for axis in axes.flat:
        axis.axis("off")
    figure.savefig(path, dpi=100, bbox_inches="tight")
