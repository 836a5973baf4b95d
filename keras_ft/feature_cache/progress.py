"""How far a cache is and how long it will still take."""

import sys
import time
from collections.abc import Callable
from typing import Any

import tqdm

Echo = Callable[[str], None]
PARTS = 10


class Progress:
    """A bar over all batches on a terminal, else about ten lines.

    Args:
        total: Batches to compute.
        echo: Takes one line of text; `None` shows nothing at all.

    Example:

    >>> with Progress(40, print) as progress:
    ...     progress.advance()
    """

    def __init__(self, total: int, echo: Echo | None) -> None:
        self.total = total
        self.echo = echo
        self.done = 0
        self._bar: Any = None
        self._started = time.monotonic()

    def __enter__(self) -> "Progress":
        if self.echo is not None and sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                desc="feature cache",
                total=self.total,
                unit="batch",
                dynamic_ncols=True,
            )
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """Counts one batch."""
        self.done += 1
        if self._bar is not None:
            self._bar.update(1)
        elif self.echo is not None and self._at_a_line():
            spent = time.monotonic() - self._started
            left = spent / self.done * (self.total - self.done)
            self.echo(
                f"feature cache: batch {self.done}/{self.total}, "
                f"{tqdm.tqdm.format_interval(spent)} spent, "
                f"{tqdm.tqdm.format_interval(left)} left"
            )

    def _at_a_line(self) -> bool:
        parts = self.done * PARTS // self.total
        return parts > (self.done - 1) * PARTS // self.total
