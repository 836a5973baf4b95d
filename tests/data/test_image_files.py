"""Images come as a person sees them."""

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
from PIL import features

from keras_ft.data import image_files

RED, GREEN, WHITE = (255, 0, 0), (0, 128, 0), (255, 255, 255)
# Upper half white, left half of the lower one gray: all turns differ.
UPRIGHT = np.zeros((16, 24), np.uint8)
UPRIGHT[:8] = 255
UPRIGHT[8:, :12] = 100
# By EXIF orientation: how a camera stored what stands upright.
STORED = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: np.transpose,
    6: np.rot90,
    7: lambda x: np.rot90(x.T, 2),
    8: lambda x: np.rot90(x, -1),
}


def read(file: Path, channels: int = 3) -> np.ndarray:
    header = image_files.read_header(file)
    pixels = image_files.read_pixels(file, None, channels)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (*header.size, channels)
    return pixels


def corner(file: Path, channels: int = 3) -> tuple[int, ...]:
    return tuple(read(file, channels)[0, 0].tolist())


@pytest.mark.parametrize("ending", ["png", "tif", "jpg", "webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_orientation_is_applied(tmp_path, ending, orientation):
    stored = np.ascontiguousarray(STORED[orientation](UPRIGHT))
    image = PIL.Image.fromarray(stored).convert("RGB")
    exif = image.getexif()
    exif[0x0112] = orientation
    file = tmp_path / f"turned.{ending}"
    image.save(file, exif=exif, quality=95)
    pixels = read(file)
    assert pixels.shape == (16, 24, 3)
    # Lossy formats differ by a few levels.
    difference = pixels.astype(int) - UPRIGHT[..., None]
    assert np.abs(difference).mean() < 8


def test_damaged_notes_do_not_make_a_bad_picture(tmp_path):
    image = PIL.Image.new("RGB", (4, 4), RED)
    image.save(tmp_path / "a.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0")
    assert corner(tmp_path / "a.png") == RED


@pytest.mark.parametrize("ending", ["png", "tif", "pgm", "jp2"])
def test_sixteen_bits_keep_their_grey_levels(tmp_path, ending):
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    file = tmp_path / f"a.{ending}"
    PIL.Image.fromarray(levels).save(file)
    assert image_files.read_header(file).grey
    np.testing.assert_array_equal(
        read(file, 1)[..., 0], np.arange(256).reshape(16, 16)
    )
    # In color the same three times.
    np.testing.assert_array_equal(read(file, 3)[..., 1], read(file, 1)[..., 0])


def test_sixteen_bits_are_turned_as_well(tmp_path):
    image = PIL.Image.fromarray(np.rot90(UPRIGHT).astype(np.uint16) * 257)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png", 1)[..., 0], UPRIGHT)


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_float_grey_levels(tmp_path, top):
    levels = np.linspace(0, top, 256, dtype=np.float32).reshape(16, 16)
    PIL.Image.fromarray(levels).save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(
        read(tmp_path / "a.tiff", 1)[..., 0], np.arange(256).reshape(16, 16)
    )


@pytest.mark.parametrize(
    "levels",
    [
        np.array([[-1.0, 0.5]], np.float32),
        np.array([[0.0, 4000.0]], np.float32),
        np.array([[np.nan, 0.5]], np.float32),
        np.array([[-5, 70000]], np.int32),
    ],
)
def test_grey_levels_of_no_known_scale_are_refused(tmp_path, levels):
    PIL.Image.fromarray(levels).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match="grey levels from"):
        image_files.read_pixels(tmp_path / "a.tiff", None, 1)


def transparent(mode: str) -> PIL.Image.Image:
    """Return magenta (or gray 9) that is not seen, beside a color that is."""
    alpha = PIL.Image.new("L", (4, 4), 0)
    alpha.paste(255, (2, 0, 4, 4))
    image = PIL.Image.new("RGB", (4, 4), (255, 0, 255))
    image.paste(GREEN, (2, 0, 4, 4))
    image = image.convert(mode.rstrip("Aa"))
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_transparent_parts_are_white(tmp_path, ending):
    transparent("RGBA").save(tmp_path / f"a.{ending}", lossless=True)
    pixels = read(tmp_path / f"a.{ending}")
    assert tuple(pixels[0, 0]) == WHITE
    assert tuple(pixels[0, 3]) == GREEN


def test_half_transparent_parts_shine_through(tmp_path):
    PIL.Image.new("RGBA", (4, 4), (0, 0, 0, 102)).save(tmp_path / "a.png")
    assert corner(tmp_path / "a.png") == (153, 153, 153)


def test_grey_with_alpha_stays_grey(tmp_path):
    transparent("LA").save(tmp_path / "a.png")
    assert image_files.read_header(tmp_path / "a.png").grey
    assert corner(tmp_path / "a.png", 1) == (255,)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_palette_with_a_transparent_entry(tmp_path, ending):
    image = PIL.Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 255, *GREEN])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / f"a.{ending}", transparency=0)
    pixels = read(tmp_path / f"a.{ending}")
    assert tuple(pixels[0, 0]) == WHITE and tuple(pixels[1, 1]) == GREEN


@pytest.mark.parametrize(
    ("mode", "color"), [("L", 9), ("RGB", (9, 8, 7)), ("1", 0), ("I;16", 9)]
)
def test_a_color_that_stands_for_transparency(tmp_path, mode, color):
    image = PIL.Image.new(mode, (4, 4), color)
    image.save(tmp_path / "a.png", transparency=color)
    assert corner(tmp_path / "a.png") == WHITE


def test_black_and_white(tmp_path):
    image = PIL.Image.new("1", (4, 4), 1)
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", 1)[0, :, 0].tolist() == [0, 255, 255, 255]


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_print_colors(tmp_path, ending):
    image = PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    image.save(tmp_path / f"a.{ending}")
    assert np.abs(np.subtract(corner(tmp_path / f"a.{ending}"), RED)).max() < 4


def test_colors_of_another_profile_become_those_of_the_screen(tmp_path):
    srgb = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB"))
    plain = srgb.tobytes()
    # One in which the first number of a pixel is its green.
    other = plain.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ")
    other = other.replace(b"....", b"gXYZ").replace(
        "sRGB".encode("utf-16-be"), "gRBx".encode("utf-16-be")
    )
    image = PIL.Image.new("RGB", (4, 4), (200, 100, 50))
    for name, profile in (("plain", plain), ("none", b"no profile")):
        image.save(tmp_path / f"{name}.png", icc_profile=profile)
        assert corner(tmp_path / f"{name}.png") == (200, 100, 50)
    image.save(tmp_path / "other.png", icc_profile=other)
    seen = corner(tmp_path / "other.png")
    assert np.abs(np.subtract(seen, (100, 200, 50))).max() < 4


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_an_animation_gives_its_first_picture(tmp_path, ending):
    first, second = (PIL.Image.new("RGB", (8, 8), c) for c in (RED, GREEN))
    file = tmp_path / f"a.{ending}"
    first.save(file, save_all=True, append_images=[second])
    assert np.abs(np.subtract(corner(file), RED)).max() < 4


@pytest.mark.parametrize(
    "ending",
    ["avif", "bmp", "jfif", "jpeg", "jpg", "mpo", "png", "tga", "tiff", "webp"],
)
def test_endings_that_pillow_reads(tmp_path, ending):
    if ending == "avif" and not features.check("avif"):
        assert ".avif" not in image_files.endings()
        return
    assert f".{ending}" in image_files.endings()
    file = tmp_path / f"a.{ending}"
    PIL.Image.new("RGB", (16, 16), RED).save(file)
    assert np.abs(np.subtract(corner(file), RED)).max() < 4


def test_what_pillow_only_recognizes_is_no_image():
    assert not image_files.endings() & {".eps", ".pdf", ".mpg", ".h5", ".txt"}


def test_no_other_program_is_run_for_a_renamed_file(tmp_path):
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EOF\n"
    )
    with pytest.raises(PIL.UnidentifiedImageError):
        image_files.read_header(tmp_path / "a.jpg")


def test_resized_to_what_is_asked_for(tmp_path):
    PIL.Image.fromarray(UPRIGHT).save(tmp_path / "a.png")
    pixels = image_files.read_pixels(tmp_path / "a.png", (8, 12), 1)
    assert pixels.shape == (8, 12, 1)
    assert pixels[1].min() == 255 and pixels[6, 2] == 100 and pixels[6, 9] == 0
