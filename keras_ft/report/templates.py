"""The pages' templates, and what several of them show."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from keras_ft.report import wording


def template(name: str) -> jinja2.Template:
    """A template of this folder, which refuses names it is not given.

    Args:
        name: Its file.

    Example:

    >>> text = template("benchmark.html").render(content)
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = wording.percent
    environment.filters["size"] = wording.size
    environment.filters["time"] = wording.time
    return environment.get_template(name)


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one table.

    Args:
        content: JSON values by name.
        prefix: Before every name.

    Example:

    >>> flat({"recipe": {"rate": 0.5}})
    {'recipe.rate': '0.5'}
    """
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            found[prefix + key] = text
    return found
