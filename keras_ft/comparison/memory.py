"""The most memory that this process had resident, since a given moment."""

from pathlib import Path

_STATUS = Path("/proc/self/status")
# Writing 5 there starts the peak anew (man 5 proc).
_CLEAR = Path("/proc/self/clear_refs")


def forget_peak() -> bool:
    """Starts to measure; False where the system cannot do that."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Resident bytes at the peak since `forget_peak` returned True.

    Example:

    >>> if forget_peak():
    ...     train()
    ...     print(peak_bytes())
    """
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no VmHWM in {_STATUS}")
