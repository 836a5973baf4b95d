"""The pages' templates."""

from pathlib import Path

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
