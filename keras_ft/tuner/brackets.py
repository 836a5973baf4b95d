"""How many trials Hyperband begins with."""

import math

FACTOR = 3  # keras-tuner's default, which `tune` uses.


def first_round(epochs: int, factor: int = FACTOR) -> int:
    """Trials in the first round of keras-tuner's first bracket.

    Where there are fewer that differ, its oracle ends the search after that
    round, with students of an epoch or two.

    Args:
        epochs: Of the longest trials, `max_epochs`.
        factor: By which rounds get longer and fewer.

    Example:

    >>> first_round(164)
    98

    Reference:
        keras_tuner 1.4, tuners/hyperband.py, `HyperbandOracle._get_size`.
    """
    last = 0
    while epochs / factor ** (last + 1) >= 1:
        last += 1
    at_the_end = math.ceil(1 + math.log(epochs, factor)) / (last + 1)
    return math.ceil(at_the_end * factor**last)
