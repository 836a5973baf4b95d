"""Render pages: their templates, and what several of them say."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from keras_ft import artifacts
from keras_ft import zoo
from keras_ft.errors import InputError
from keras_ft.experiments import RunFolder
from keras_ft.experiments import run_folder
from keras_ft.recipes import Recipe

REPORT = "report.html"


def render(name: str, content: Mapping[str, Any]) -> str:
    """Fill a template of this folder; a name that is not given is an error.

    Args:
        name: The template's file.
        content: Its names and values.

    Example:

    >>> page = render("benchmark.html", content)
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "size": size, "time": time}
    return environment.get_template(name).render(content)


def write_report(
    run: RunFolder, template: str, content: Mapping[str, Any]
) -> Path:
    """Write `report.html` into a run's folder, and record its digest.

    Args:
        run: The run's folder, entered.
        template: The template's file.
        content: Its names and values; those that all reports have (sessions
            and digests of the files) are added.

    Returns:
        The path of the page.
    """
    files = artifacts.manifest(run.path)
    files.pop(REPORT, None)
    common = {"sessions": run.content["sessions"], "files": files}
    path = run.path / REPORT
    artifacts.write_text(path, render(template, {**common, **content}))
    artifacts.record(run.path, [REPORT])
    return path


def settings(content: Mapping[str, Any]) -> dict[str, str]:
    """Return a run's settings as one table, with every value of its recipe.

    A run folder leaves out what the recipe has as published; a reader who
    compares methods wants to see their weights all the same.

    Args:
        content: The configuration of a run: its `recipe` and what else it
            was started with.

    Example:

    >>> settings(run.configuration)["recipe.kd_temperature"]
    '4.0'
    """
    recipe = dataclasses.asdict(Recipe.from_dict(content["recipe"]))
    del recipe["paraphrase_steps"]  # They are epochs by now.
    return flat({**content, "recipe": recipe})


def flat(content: Mapping[str, Any]) -> dict[str, str]:
    """Return nested settings as one table of texts.

    Args:
        content: JSON values by name.

    Example:

    >>> flat({"recipe": {"rate": 0.5}})
    {'recipe.rate': '0.5'}
    """
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in run_folder.flat(content).items()
    }


def noise(accuracy: float, examples: int) -> float:
    """Return by how many points two equal networks differ in 5 % of tests.

    Two independent binomial shares; networks that err on the same images
    differ less, so this is on the careful side.
    """
    deviation = math.sqrt(2 * accuracy * (1 - accuracy) / max(examples, 1))
    return 196 * deviation


def about_teacher(source: str, seen: int) -> list[str]:
    """Return what to know about a teacher that was not trained in the run.

    Args:
        source: A file, a run folder or a name of the zoo.
        seen: How many images the students learn from.
    """
    told = [
        "The teacher was not trained in this run and may have seen other "
        f"images than the students, which saw {seen:,}. That is the usual "
        "case of a good teacher and few labels."
    ]
    try:
        record = zoo.provenance(source)
    except InputError:
        return told  # A file or a run folder: its origin is the user's.
    right = percent(record["test_accuracy_official_10000"])
    return [
        *told,
        f"The teacher comes with the package: {record['network']}, trained on "
        f"{record['data']['trained_on']}; it is right on {right} of the "
        "10,000 official test images.",
    ]


def about_labels(images: int, labelled: int) -> str:
    """Return what few labels meant in a run.

    Args:
        images: All training images.
        labelled: Those of them with a label.
    """
    return (
        f"Of the {images:,} training images {labelled:,} have a label. Every "
        "image takes part in the distillation terms. Training on labels only "
        "had other batches than the rest: as many, of the labelled images "
        "alone, so that it saw each of them oftener."
    )


def percent(share: float) -> str:
    """Write 0.8412 as '84.1 %'."""
    return f"{100 * share:.1f} %"


def size(count: int) -> str:
    """Write 1,234,567 bytes as '1.2 MB'."""
    if count < 1000:
        return f"{count} B"
    if count < 999_500:
        return f"{count / 1000:.0f} kB"
    digits = 1 if count < 99_950_000 else 0
    return f"{count / 1e6:,.{digits}f} MB"


def time(seconds: float | None) -> str:
    """Write 75 seconds as '1 min 15 s'."""
    if seconds is None:
        return "not trained here"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
