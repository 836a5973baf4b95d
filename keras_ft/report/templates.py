"""From a template of this package to a page."""

import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

import jinja2

from keras_ft.report import wording


def render(name: str, content: Mapping[str, Any]) -> str:
    """A page that needs nothing beside itself.

    Args:
        name: A template of this package; it may use `style`, the style sheet,
            and the filters `percent`, `size` and `time`.
        content: Everything else it names.
    """
    folder = importlib.resources.files("keras_ft.report")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = wording.percent
    environment.filters["size"] = wording.size
    environment.filters["time"] = wording.time
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    source = folder.joinpath(name).read_text(encoding="utf-8")
    return environment.from_string(source).render(style=style, **content)


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one table."""
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            found[prefix + key] = text
    return found
