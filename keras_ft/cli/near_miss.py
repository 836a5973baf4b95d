"""What the user probably meant by an unknown flag."""

import difflib

from absl import flags

from keras_ft.errors import InputError


def explain_flag(
    error: flags.UnrecognizedFlagError, values: flags.FlagValues
) -> InputError:
    """The error of an unknown flag, with the nearest known one.

    Example:

    >>> explain_flag(error, values).fix
    'Did you mean --student?'
    """
    known = sorted(values)
    near = difflib.get_close_matches(error.flagname, known, n=1, cutoff=0.5)
    return InputError(
        f"--{error.flagname}",
        "an unknown flag",
        "a flag of this command",
        f"Did you mean --{near[0]}?"
        if near
        else f"Known are {', '.join(f'--{name}' for name in known)}.",
    )
