"""From a request to a finished and checked cache."""

from keras_ft import artifacts
from keras_ft.feature_cache import building
from keras_ft.feature_cache import key as keys
from keras_ft.feature_cache import live_check
from keras_ft.feature_cache.agreement import agreement
from keras_ft.feature_cache.cached_stream import CachedStream
from keras_ft.feature_cache.lazy_stream import LazyStream
from keras_ft.feature_cache.progress import Echo
from keras_ft.feature_cache.request import Request
from keras_ft.feature_cache.shard_folder import ShardFolder
from keras_ft.feature_cache.shard_memory import ShardMemory


def in_memory(request: Request, echo: Echo | None) -> CachedStream:
    """Computes everything."""
    request.check_views()
    request.check_memory()
    _say(building.describe(request), echo)
    store = ShardMemory()
    store.start(request.content())
    building.fill(store, request, request.plan, echo)
    return _checked(store, request, echo)


def on_disk(
    folder: artifacts.PathLike, request: Request, echo: Echo | None
) -> CachedStream:
    """Computes what the folder does not have yet."""
    request.check_views()
    store = ShardFolder(folder)
    with store.locked():
        if store.exists():
            store.read()
            keys.check(store.content["key"], request.key, store.where)
            store.forget_missing()
            store.verify()
        else:
            store.start(request.content())
        missing = [s for s in store.plan if s.name not in store.entries]
        if missing:
            # Another process may have begun without a folded teacher.
            store.content["accelerated"] |= request.accelerated
            _announce(store, request, len(missing), echo)
            store.check_room(sum(s.bytes(request.layout) for s in missing))
        building.fill(store, request, missing, echo)
        return _checked(store, request, echo)


def _announce(
    store: ShardFolder, request: Request, missing: int, echo: Echo | None
) -> None:
    _say(building.describe(request), echo)
    if store.entries:
        everything = len(store.entries) + missing
        _say(
            f"feature cache: {len(store.entries)} of {everything} shards were "
            "done before",
            echo,
        )


def lazily(
    folder: artifacts.PathLike, request: Request, echo: Echo | None
) -> CachedStream:
    """Computes what a training asks for, when it asks."""
    store = ShardFolder(folder)
    with store.locked(wait=True):
        if store.exists():
            store.read()
            keys.check(store.content["key"], request.key, store.where)
            store.forget_missing()
            store.verify()
        else:
            store.start(request.content())
            store.check_room(request.bytes)
        store.content["accelerated"] |= request.accelerated
    if store.entries:
        _say(f"feature cache: {len(store.entries)} shards are there", echo)
    else:
        _say(building.describe(request), echo)
    stream = LazyStream(request, store)
    _check(stream, request)
    return stream


def _checked(
    store: ShardFolder | ShardMemory, request: Request, echo: Echo | None
) -> CachedStream:
    stream = CachedStream(request.data, store, request.layout)
    _check(stream, request)
    _say(building.loss(stream), echo)
    return stream


def _check(stream: CachedStream, request: Request) -> None:
    accelerated = stream.store.content["accelerated"]
    near = agreement(request.layout.dtype, accelerated)
    live_check.check(stream, request.live, near)


def _say(line: str, echo: Echo | None) -> None:
    if echo is not None:
        echo(line)
