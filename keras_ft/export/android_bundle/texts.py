"""The texts of a bundle, made of the templates beside this file."""

import importlib.resources
from typing import Any


def render(name: str, content: dict[str, Any]) -> str:
    """Fill a template in.

    Args:
        name: Of a file in `templates`, less `.jinja`.
        content: What it asks for; a name that is missing is an error.

    Returns:
        The text; it ends with a line break.
    """
    import jinja2  # Absent where there is no TensorFlow.

    folder = importlib.resources.files("keras_ft.export.android_bundle")
    source = folder.joinpath("templates", f"{name}.jinja")
    environment = jinja2.Environment(
        # Markdown and Kotlin, not HTML.
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    environment.filters["percent"] = _percent
    template = environment.from_string(source.read_text(encoding="utf-8"))
    return template.render(content)


def _cell(text: Any) -> str:
    """Return text for a Markdown table, on one line."""
    return " ".join(str(text).replace("|", "\\|").split()) or "not stated"


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.2f} %"
