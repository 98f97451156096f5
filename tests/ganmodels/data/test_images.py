"""Claims about decoding one image and fitting it to a shape."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ganmodels.data.errors import DataError
from ganmodels.data.images import DecodedImage, decode_image, fit_image, read_image_header
from ganmodels.data.limits import Limits


def encode(image: Image.Image, format_name: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def png_declaring(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header declares any size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    )


def code_of(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(DataError) as refusal:
        decode_image(data, limits or Limits())
    return refusal.value.code


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_plain_png_decodes_to_its_own_pixels(mode: str) -> None:
    pixels = noise(5, 7, len(mode))
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels)
    decoded = decode_image(encode(image))
    assert decoded.mode == mode
    assert (decoded.height, decoded.width) == (5, 7)
    np.testing.assert_array_equal(decoded.pixels, pixels)


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "BMP", "GIF"])
def test_every_allowed_format_decodes(format_name: str) -> None:
    flat = Image.new("RGB", (9, 6), (200, 100, 50))
    pixels = decode_image(encode(flat, format_name)).pixels
    assert pixels.shape == (6, 9, 3)
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 8


@pytest.mark.parametrize("format_name", ["TIFF", "PPM", "ICO"])
def test_other_formats_are_refused(format_name: str) -> None:
    data = encode(Image.new("RGB", (16, 16)), format_name)
    assert code_of(data) == "image_format_unsupported"


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0", b"GIF89a"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    assert code_of(data) in ("image_format_unsupported", "unreadable_image")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(noise(4, 6, 3)), exif=exif)
    expected = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    np.testing.assert_array_equal(decode_image(data).pixels, np.asarray(expected))
    header = read_image_header(data)
    assert (header.width, header.height) == expected.size


@pytest.mark.parametrize(
    ("stored", "shown"), [(0, 0), (256, 1), (1000, 4), (32896, 128), (65535, 255)]
)
def test_sixteen_bits_are_scaled_not_clipped(stored: int, shown: int) -> None:
    data = encode(Image.fromarray(np.full((4, 4), stored, dtype=np.uint16)))
    assert decode_image(data).pixels.tolist() == np.full((4, 4, 1), shown).tolist()


def test_one_bit_becomes_black_and_white() -> None:
    pixels = decode_image(encode(Image.fromarray(np.eye(4, dtype=bool)))).pixels
    np.testing.assert_array_equal(pixels[..., 0], np.eye(4, dtype=np.uint8) * 255)


def test_palette_with_transparency_keeps_alpha() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 128, 0])
    image.putpixel((0, 0), 0)
    pixels = decode_image(encode(image, transparency=0)).pixels
    assert pixels[0, 0].tolist() == [255, 0, 0, 0]
    assert pixels[1, 1].tolist() == [0, 128, 0, 255]


def test_grey_palette_counts_as_grey() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 77, 77, 77])
    data = encode(image)
    assert decode_image(data).pixels.tolist() == np.full((4, 4, 1), 77).tolist()
    assert read_image_header(data).channels == 1


def test_transparent_colour_of_grey_png_becomes_alpha() -> None:
    image = Image.fromarray(np.array([[0, 9], [9, 0]], dtype=np.uint8))
    pixels = decode_image(encode(image, transparency=9)).pixels
    assert pixels[..., 1].tolist() == [[255, 0], [0, 255]]


def test_cmyk_jpeg_becomes_rgb() -> None:
    data = encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    decoded = decode_image(data)
    assert decoded.mode == "CMYK"
    assert np.abs(decoded.pixels.astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG"])
def test_only_the_first_frame_is_read(format_name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    data = encode(frames[0], format_name, save_all=True, append_images=frames[1:], lossless=True)
    pixels = decode_image(data).pixels
    assert pixels[4, 4, :3].tolist() == [255, 0, 0]


@pytest.mark.parametrize(("width", "height"), [(60000, 60000), (8193, 1), (1, 8193), (6000, 6000)])
def test_declared_size_is_refused_before_decoding(width: int, height: int) -> None:
    assert code_of(png_declaring(width, height)) == "image_too_large"


def test_real_decompression_bomb_is_refused() -> None:
    bomb = encode(Image.new("1", (8000, 8000)))
    assert len(bomb) < 20_000
    assert code_of(bomb) == "image_too_large"


def test_pixel_limit_is_the_callers() -> None:
    data = encode(Image.new("L", (11, 10)))
    assert code_of(data, Limits(max_pixels_per_image=109)) == "image_too_large"
    assert decode_image(data, Limits(max_pixels_per_image=110)).width == 11


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_truncated_image_is_unreadable(format_name: str) -> None:
    data = encode(Image.fromarray(noise(64, 64, 3)), format_name)
    assert code_of(data[: len(data) // 2]) == "unreadable_image"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_lose_the_image() -> None:
    data = encode(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert decode_image(data).pixels.shape == (8, 8, 3)


def test_opaque_means_no_alpha_below_255() -> None:
    pixels = np.full((2, 2, 4), 255, dtype=np.uint8)
    assert DecodedImage(pixels, "RGBA").is_opaque
    pixels[1, 1, 3] = 254
    assert not DecodedImage(pixels, "RGBA").is_opaque
    assert DecodedImage(pixels[..., :3], "RGB").is_opaque


def test_fitting_image_is_left_alone() -> None:
    image = noise(6, 5, 3)
    np.testing.assert_array_equal(fit_image(image, 6, 5, 3), image)


def test_fit_crops_the_centre() -> None:
    image = np.zeros((4, 12, 1), dtype=np.uint8)
    image[:, 4:8] = 200
    np.testing.assert_array_equal(fit_image(image, 4, 4, 1), np.full((4, 4, 1), 200))


def test_alpha_is_composited_over_white() -> None:
    image = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 128]]], dtype=np.uint8)
    expected = [[[255, 255, 255], [10, 20, 30], [127, 127, 127]]]
    assert fit_image(image, 1, 3, 3).tolist() == expected


def test_alpha_is_added_opaque_and_grey_repeated() -> None:
    image = np.full((1, 1, 1), 7, dtype=np.uint8)
    assert fit_image(image, 1, 1, 4).tolist() == [[[7, 7, 7, 255]]]
    assert fit_image(image, 1, 1, 2).tolist() == [[[7, 255]]]


def test_colour_becomes_grey_as_pillow_does_it() -> None:
    image = noise(16, 16, 3)
    expected = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(fit_image(image, 16, 16, 1)[..., 0], expected)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
)
def test_fit_gives_the_shape_asked_for_and_keeps_flat_images_flat(
    source: tuple[int, int, int], target: tuple[int, int, int]
) -> None:
    image = np.full(source, 255, dtype=np.uint8)
    np.testing.assert_array_equal(fit_image(image, *target), np.full(target, 255))


SEEDS = [
    encode(Image.fromarray(noise(9, 9, 3)), "PNG"),
    encode(Image.fromarray(noise(9, 9, 3)), "JPEG"),
    encode(Image.fromarray(noise(9, 9, 3)), "WEBP"),
    encode(Image.fromarray(noise(9, 9, 3)).quantize(8), "GIF"),
    encode(Image.fromarray(noise(9, 9, 3)), "BMP"),
]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
)
def test_damaged_images_give_pixels_or_a_data_error(
    seed: bytes, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(seed)
    for position, value in changes:
        data[position % len(data)] = value
    try:
        decoded = decode_image(bytes(data))
    except DataError:
        return
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape[2] in (1, 2, 3, 4)


def progressive_jpeg(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are so many more."""
    data = encode(Image.fromarray(noise(64, 64)), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]


def test_a_jpeg_of_very_many_scans_is_refused_unread() -> None:
    assert decode_image(progressive_jpeg(20)).height == 64
    assert code_of(progressive_jpeg(200)) == "image_too_large"
    with pytest.raises(DataError):
        read_image_header(progressive_jpeg(200))
