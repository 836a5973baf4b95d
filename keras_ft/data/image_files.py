"""Image files as a person sees them: whatever Pillow reads, as uint8 arrays.

Orientation in EXIF is applied, transparent parts become white, 16 bits are
scaled to 8, print colors and wide ones are brought to sRGB, and an animation
gives its first picture.
"""

import concurrent.futures
import dataclasses
import functools
import io
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import tqdm

# Pillow only recognizes these, or has another program draw them: Ghostscript
# for EPS, which runs what is in the file.
_NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
_ORIENTATION = 0x0112
# Those EXIF orientations that exchange height and width.
_SIDEWAYS = {5, 6, 7, 8}
_GREY = {"1", "L", "LA", "La", "I", "F"}
_SIXTEEN_BITS = 2**16 - 1


@functools.cache
def formats() -> tuple[str, ...]:
    """Return the names of the formats that are read, as Pillow has them."""
    PIL.Image.init()
    return tuple(sorted(set(PIL.Image.OPEN) - _NOT_READ))


@functools.cache
def endings() -> frozenset[str]:
    """Return the endings of files that are read, as in ".jpg"."""
    # A JPEG of several pictures, as phones take them; read as a JPEG.
    readable = {*formats(), "MPO"}
    known = PIL.Image.registered_extensions().items()
    return frozenset(ending for ending, name in known if name in readable)


class DiskError(Exception):
    """Say that pixels could not be written, which is not the image's fault."""


@dataclasses.dataclass(frozen=True)
class Header:
    """Hold what an image says before its pixels are read.

    Args:
        size: (height, width) of the upright image.
        grey: Whether it has no color.
    """

    size: tuple[int, int]
    grey: bool


def read_header(file: Path) -> Header:
    """Read an image's size and whether it is grey."""
    with _opened(file) as image:
        grey = _is_grey(image.mode)
        if _orientation(image) in _SIDEWAYS:
            # Formats differ in whether their size is that before the turn.
            image = as_seen(image)
        return Header((image.height, image.width), grey)


def read_pixels(
    file: Path, size: tuple[int, int] | None, channels: int
) -> np.ndarray:
    """Read an image as a person sees it.

    Args:
        file: Of one of the `formats`.
        size: (height, width) to resize to, without regard to proportions;
            `None` keeps the size.
        channels: 1 for grey, 3 for RGB.

    Returns:
        uint8 (H, W, channels).

    Raises:
        Exception: Whatever Pillow's readers meet in a damaged file.
    """
    with _opened(file) as opened:
        image = as_seen(opened).convert("L" if channels == 1 else "RGB")
    if size is not None and size != (image.height, image.width):
        image = image.resize(size[::-1], PIL.Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(image.height, image.width, channels)


def as_seen(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an image as a viewer shows it, grey ("L") or in sRGB ("RGB")."""
    image.load()
    profile = image.info.get("icc_profile")
    image = _upright(image)
    grey = _is_grey(image.mode)
    if image.mode == "F" or image.mode.startswith("I"):
        image = _in_eight_bits(image)
    if image.has_transparency_data:
        image = _on_white(image)
    if profile and not grey:
        image = _in_srgb(image, profile)
    return image.convert("L" if grey else "RGB")


def in_parallel(
    do: Callable[[int], Any], count: int, threads: int, shows: str
) -> tuple[list[Any], dict[int, str]]:
    """Do something with each file, in threads: Pillow lets them run.

    Args:
        do: Takes the number of a file, 0 to `count` - 1.
        count: How many there are.
        threads: How many at once.
        shows: In front of the bar, which is drawn on a terminal only.

    Returns:
        What it returned for each, `None` where it failed; and why it failed.
    """
    results: list[Any] = [None] * count
    failures: dict[int, str] = {}

    def attempt(index: int) -> None:
        try:
            results[index] = do(index)
        except (MemoryError, DiskError):
            raise
        except Exception as error:
            # Readers of damaged files fail with whatever they meet: OSError,
            # SyntaxError, struct.error, ...
            failures[index] = str(error) or type(error).__name__

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        done = pool.map(attempt, range(count))
        bar = tqdm.tqdm(
            done, shows, count, leave=False, disable=None, unit="image"
        )
        try:
            for _ in bar:
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results, dict(sorted(failures.items()))


class PixelFile:
    """Keep images of one shape, one after the other in a file.

    Args:
        path: The file, which is made; its folder exists.
        count: How many images it holds; black until they are written.
        shape: (H, W, C).
    """

    def __init__(
        self, path: Path, count: int, shape: tuple[int, int, int]
    ) -> None:
        self.path = path
        self.shape = shape
        with path.open("wb") as file:
            file.truncate(count * int(np.prod(shape)))

    def write(self, index: int, pixels: np.ndarray) -> None:
        """Write the image of a number, 0 or more; threads may do so at once.

        Raises:
            ValueError: The image has another shape.
            DiskError: The file cannot be written.
        """
        if pixels.shape != self.shape:
            raise ValueError(f"{pixels.shape} pixels and not {self.shape}")
        try:
            with self.path.open("r+b") as file:
                file.seek(index * pixels.nbytes)
                file.write(pixels.tobytes())
        except OSError as error:
            raise DiskError(error) from error


def read_all(
    files: Sequence[Path],
    store: PixelFile,
    size: tuple[int, int] | None,
    threads: int,
) -> dict[int, str]:
    """Write the pixels of files into a `PixelFile`, at their numbers.

    Returns:
        The numbers of the files that are no whole images, and what is wrong.
    """

    def write(index: int) -> None:
        channels = store.shape[-1]
        store.write(index, read_pixels(files[index], size, channels))

    return in_parallel(write, len(files), threads, "reading images")[1]


def _opened(file: Path) -> PIL.Image.Image:
    return PIL.Image.open(file, formats=formats())


def _is_grey(mode: str) -> bool:
    return mode in _GREY or mode.startswith("I;16")


def _orientation(image: PIL.Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # As `_upright`.
        return 1


def _upright(image: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return PIL.ImageOps.exif_transpose(image)
    except Exception:
        # Notes that no reader understands do not make a bad picture; its
        # pixels were loaded before.
        return image


def _in_eight_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return 16-bit or float grey levels as 8-bit ones; `convert` clips them.

    Raises:
        ValueError: The levels have no known scale.
    """
    levels = np.asarray(image)
    low, high = levels.min(), levels.max()
    top = _SIXTEEN_BITS
    if image.mode == "F":
        top = 1 if high <= 1 else 255
    if not (low >= 0 and high <= top):  # Nor NaN.
        raise ValueError(f"grey levels from {low:g} to {high:g}")
    scaled = np.rint(levels * (255.0 / top)).astype(np.uint8)
    # A grey level that stands for transparency, as PNG has it.
    clear = image.info.get("transparency")
    if clear is not None:
        scaled[levels == clear] = 255
    return PIL.Image.fromarray(scaled)


def _on_white(image: PIL.Image.Image) -> PIL.Image.Image:
    # Alpha that is multiplied in converts to its plain form only.
    plain = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
    image = image.convert(plain) if plain else image
    white = PIL.Image.new("RGBA", image.size, "white")
    return PIL.Image.alpha_composite(white, image.convert("RGBA")).convert(
        "L" if _is_grey(image.mode) else "RGB"
    )


def _in_srgb(image: PIL.Image.Image, profile: bytes) -> PIL.Image.Image:
    """Return colors as the profile in the file means them."""
    if image.mode not in ("RGB", "CMYK"):
        return image
    try:
        theirs = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in PIL.ImageCms.getProfileDescription(theirs).lower():
            return image
        srgb = PIL.ImageCms.createProfile("sRGB")
        seen = PIL.ImageCms.profileToProfile(
            image, theirs, srgb, outputMode="RGB"
        )
    except (ImportError, OSError, PIL.ImageCms.PyCMSError):
        # A profile of another kind of colors, or Pillow without LittleCMS.
        return image
    return seen or image
