"""What can be compared: plain training and four terms, alone or added up."""

from collections.abc import Iterable
from dataclasses import dataclass

from keras_ft.errors import InputError

PLAIN = "none"
# In the order in which a sum of them is written.
TITLES = {"ft": "FT", "fitnet": "FitNets", "at": "AT", "kd": "KD"}
# The columns of the paper's tables.
METHODS = ("none", "kd", "at", "fitnet", "ft", "ft+kd", "ft+at")


@dataclass(frozen=True)
class Method:
    """One way to train the student.

    Args:
        parts: Its terms, keys of `TITLES`; none for plain training.

    Example:

    >>> Method.parse("kd+ft").name
    'ft+kd'
    """

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, word: str) -> "Method":
        """A method by its name.

        Raises:
            InputError: There is no such method.
        """
        words = word.split("+")
        if word == PLAIN:
            return cls(())
        if not set(words) <= set(TITLES) or len(set(words)) < len(words):
            raise InputError(
                "methods",
                repr(word),
                f"{PLAIN}, or some of {', '.join(TITLES)} joined by +",
                f"Write --methods={','.join(METHODS)}.",
            )
        return cls(tuple(part for part in TITLES if part in words))

    @property
    def name(self) -> str:
        """As flags, folders and files spell it."""
        return "+".join(self.parts) or PLAIN

    @property
    def title(self) -> str:
        """As tables and sentences spell it."""
        return "+".join(TITLES[part] for part in self.parts) or "plain"

    def has(self, part: str) -> bool:
        """Whether the term is one of its own."""
        return part in self.parts


def parse_all(words: Iterable[str]) -> tuple[Method, ...]:
    """Several methods, each once.

    Args:
        words: Their names; one string has them separated by commas.

    Raises:
        InputError: One does not exist, or there is none.
    """
    if isinstance(words, str):
        words = words.split(",")
    methods = tuple(dict.fromkeys(Method.parse(word) for word in words))
    if not methods:
        raise InputError(
            "methods", "none at all", "at least one", f"Use {METHODS}."
        )
    return methods
