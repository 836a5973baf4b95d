"""One process at a time; the others wait."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`, after waiting for whoever holds it.

    The operating system frees the lock of a process that ends, also of one
    that is killed: what it left behind blocks nobody.

    Args:
        path: The lock file; made if it is missing, and never removed, because
            another process may wait for it.

    Example:

    >>> with locked(Path("cache/features.lock")):
    ...     build_features()
    """
    # Imported here: fcntl is POSIX only, and `import keras_ft` is not.
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
