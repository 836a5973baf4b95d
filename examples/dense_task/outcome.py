"""What the example found out: a table, a verdict and a picture."""

import statistics

import matplotlib.pyplot as plt
import numpy as np
from scipy import special

ROWS = 5


def verdict(points, ours, theirs):
    """Differences with each seed, in percentage points, in plain words."""
    mean, count = statistics.fmean(points), len(points)
    if count == 1:
        return (
            f"{ours} against {theirs}: {mean:+.2f} pt; one seed shows nothing."
        )
    # Student's t: over other seeds, not over other scenes.
    half = special.stdtrit(count - 1, 0.975) * statistics.stdev(points)
    low, high = mean - half / count**0.5, mean + half / count**0.5
    says = "a gain" if low > 0 else "a loss" if high < 0 else "no gain shown"
    interval = f"{mean:+.2f} pt, 95 % CI [{low:.2f}, {high:.2f}]"
    return f"{ours} against {theirs}: {says}, {interval}, {count} seeds."


def table(values, ours, theirs):
    """Markdown: a row for each seed, mean, deviation and verdict.

    Args:
        values: The measure (0 to 1) for each seed, by the training's name.
        ours: Name of the training that is compared.
        theirs: Name of the training it is compared with.
    """
    columns = [
        [100 * value for value in values[name]] for name in (theirs, ours)
    ]
    points = [b - a for a, b in zip(*columns, strict=True)]
    columns.append(points)
    rows = {
        str(seed): row for seed, row in enumerate(zip(*columns, strict=True))
    }
    if len(points) > 1:
        rows["mean"] = [statistics.fmean(column) for column in columns]
        rows["sd"] = [statistics.stdev(column) for column in columns]
    lines = [f"| seed | {theirs} | {ours} | difference |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {a:.2f}% | {b:.2f}% | {d:.2f} pt |"
        for name, (a, b, d) in rows.items()
    ]
    return "\n".join([*lines, "", verdict(points, ours, theirs)])


def draw(path, scenes, networks):
    """A PNG of some scenes, their classes, and what each network finds."""
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
