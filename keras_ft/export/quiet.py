"""Silence for the converter and the interpreter."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what is printed inside the block, by Python and by C++ alike.

    The converter and LiteRT log from C++ straight to the process's file
    descriptors, out of reach of `contextlib.redirect_stderr`. What matters is
    in their exceptions, which pass through.

    Example:

    >>> with quiet():
    ...     content = converter.convert()
    """
    if "tensorflow" in sys.modules:
        # Its logger keeps the stream that it finds when it is first used: it
        # would write to our closed file ever after.
        sys.modules["tensorflow"].get_logger()
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        void = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(void))
        stack.enter_context(contextlib.redirect_stderr(void))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for descriptor in (1, 2):
            kept = os.dup(descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            os.dup2(void.fileno(), descriptor)
        yield
