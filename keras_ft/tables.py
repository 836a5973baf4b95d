"""Tables for the terminal, drawn by rich."""

import io
from collections.abc import Sequence

import rich.console
import rich.table


def text_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as aligned lines.

    Args:
        rows: The head, then the body; the first column is aligned left, the
            others right.

    Returns:
        One line per row, without trailing spaces.
    """
    table = rich.table.Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, name in enumerate(rows[0]):
        table.add_column(
            rich.text.Text(name),
            justify="right" if index else "left",
            no_wrap=True,
        )
    for row in rows[1:]:
        table.add_row(*map(rich.text.Text, row))
    out = io.StringIO()
    console = rich.console.Console(file=out, width=10_000, color_system=None)
    console.print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]
