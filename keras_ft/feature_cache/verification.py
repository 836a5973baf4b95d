"""Checks the files of a cache bit by bit."""

import concurrent.futures
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.feature_cache.shard import PATTERN
from keras_ft.feature_cache.shard import Shard

ANEW = (
    "Delete the file and call FeatureCache.{call} again, which computes it "
    "anew."
)


def verify(
    folder: Path,
    entries: Mapping[str, Mapping[str, Any]],
    known: Mapping[str, Shard],
    call: str,
) -> None:
    """Checks every finished shard, on all processors.

    Args:
        folder: Where they are.
        entries: What the manifest says of each.
        known: The shards that this cache may have.
        call: What makes a shard anew: "build" or "lazy".

    Raises:
        InputError: A shard is damaged, missing, another one's or not of this
            cache; its name is in the message.
    """
    refuse_foreign(folder, known)
    fix = ANEW.format(call=call)
    for name, entry in entries.items():
        if name not in known or entry["rows"] != known[name].rows:
            raise InputError(
                str(folder / name),
                f"{entry['rows']} rows",
                "as many as planned",
                fix,
            )

    def check(name: str) -> None:
        _check_digest(folder / name, entries[name]["sha256"], fix)

    # Hashing releases Python's lock, so that threads do help.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(check, entries):
            pass


def refuse_foreign(folder: Path, known: Mapping[str, Shard]) -> None:
    """Refuses shards that are none of this cache.

    Raises:
        InputError: Names the first of them.
    """
    for path in sorted(folder.glob(PATTERN)):
        if path.name not in known:
            raise InputError(
                str(path),
                "a shard that the manifest does not know",
                "the shards of one cache only",
                "Move it elsewhere or delete it.",
            )


def _check_digest(path: Path, expected: str, fix: str) -> None:
    if not path.is_file():
        raise InputError(str(path), "no such file", "the shard", fix)
    received = artifacts.sha256(path)
    if received != expected:
        raise InputError(
            str(path),
            f"SHA-256 {received[:12]}...",
            f"{expected[:12]}..., as the manifest says",
            fix,
        )
