"""One image file in memory -> uint8 pixels, and pixels -> the shape that a model wants."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from ganmodels.data.errors import DataError
from ganmodels.data.limits import DEFAULT_LIMITS, Limits

Pixels = NDArray[np.uint8]

ALLOWED_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
_EXIF_ORIENTATION = 0x0112
# A progressive JPEG is decoded once for each of its scans, of which common ones have ten. A scan
# of a large image may be forty bytes long.
_MOST_SCANS, _START_OF_SCAN = 100, b"\xff\xda"


@dataclass(frozen=True)
class DecodedImage:
    """Pixels as they are meant to be seen, uint8 [h, w, c]; ``mode`` is how they were stored.

    Channels: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA. The size is that after EXIF rotation.
    """

    pixels: Pixels
    mode: str

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def is_opaque(self) -> bool:
        """True without alpha, or when every alpha is 255."""
        has_alpha = self.pixels.shape[2] in (2, 4)
        return not has_alpha or bool((self.pixels[..., -1] == 255).all())


@dataclass(frozen=True)
class ImageHeader:
    """What is known of an image before its pixels are decoded; ``channels`` as decoded."""

    height: int
    width: int
    channels: int


def decode_image(data: bytes, limits: Limits = DEFAULT_LIMITS) -> DecodedImage:
    """Decode PNG, JPEG, WebP, BMP or GIF, first frame only.

    Sizes are checked in the header, and the scans of a JPEG counted, before any pixel is decoded.
    Then in this order: EXIF
    rotation, 16 bits scaled by 1/257 (Pillow would clip), palettes looked up, 1 bit to 0/255,
    CMYK and others through RGB. Alpha is kept; all metadata is dropped.

    Raises: DataError ``image_format_unsupported``, ``image_too_large``, ``unreadable_image``.
    """
    with _opened(data, limits) as image:
        mode = image.mode
        image.load()
        orientation = _orientation(image)
        pixels = _turn_upright(_to_pixels(image), orientation)
    return DecodedImage(np.ascontiguousarray(pixels), mode)


def read_image_header(data: bytes, limits: Limits = DEFAULT_LIMITS) -> ImageHeader:
    """Size and channels of an image without decoding it; raises what decode_image raises."""
    with _opened(data, limits) as image:
        # Pillow decodes a whole PNG to look for EXIF behind the pixels: not worth it here.
        is_late = image.format == "PNG" and "exif" not in image.info
        orientation = 1 if is_late else _orientation(image)
        width, height = image.size
        if orientation >= 5:
            width, height = height, width
        return ImageHeader(height, width, _CHANNELS[_eight_bit_mode(image)])


def fit_image(image: Pixels, height: int, width: int, channels: int) -> Pixels:
    """Centre crop uint8 [h, w, c] to the target's aspect ratio, then Lanczos resize to it.

    Grey becomes RGB by repetition, RGB grey by luma (ITU-R 601). Alpha is composited over
    white when the target has none and added as 255 when the target wants it. An image that
    already fits is returned as it is.
    """
    matched = _with_channels(image, channels)
    if matched.shape[:2] == (height, width):
        return matched
    picture = Image.fromarray(matched[..., 0] if channels == 1 else matched)
    box = _centre_box(picture.width, picture.height, width, height)
    resized = picture.resize((width, height), Image.Resampling.LANCZOS, box=box)
    return np.asarray(resized, dtype=np.uint8).reshape(height, width, channels)


@contextmanager
def _opened(data: bytes, limits: Limits) -> Iterator[ImageFile]:
    """Open within limits, and turn whatever Pillow raises on hostile bytes into DataError."""
    try:
        with Image.open(BytesIO(data), formats=ALLOWED_FORMATS) as image:
            _check_size(image.width, image.height, limits)
            _check_scans(image, data)
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(
            "image_format_unsupported",
            f"Not a readable image; the formats are {', '.join(ALLOWED_FORMATS)}: convert it.",
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large("The image", limits) from None
    # Decoders raise ValueError, SyntaxError, struct.error, OSError, IndexError, ... on damage.
    except Exception:
        raise DataError(
            "unreadable_image", "The image is damaged or cut short: save it again or remove it."
        ) from None


def _check_size(width: int, height: int, limits: Limits) -> None:
    if max(width, height) > limits.max_side or width * height > limits.max_pixels_per_image:
        raise _too_large(f"The image is {width}x{height} pixels and", limits)


def _check_scans(image: ImageFile, data: bytes) -> None:
    if image.format in ("JPEG", "MPO") and data.count(_START_OF_SCAN) > _MOST_SCANS:
        raise DataError(
            "image_too_large",
            f"The JPEG has more than {_MOST_SCANS} scans, which would take long: save it again.",
            _MOST_SCANS,
        )


def _too_large(subject: str, limits: Limits) -> DataError:
    return DataError(
        "image_too_large",
        f"{subject} exceeds {limits.max_side} pixels a side or {limits.max_pixels_per_image} "
        "pixels in all: make it smaller.",
        limits.max_pixels_per_image,
    )


def _orientation(image: ImageFile) -> int:
    """EXIF orientation 1..8; broken EXIF counts as upright, for the pixels are still good."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation in (2, 4):
        return np.flip(pixels, axis=1 if orientation == 2 else 0)
    if orientation in (5, 7):
        return np.swapaxes(pixels if orientation == 5 else np.rot90(pixels, 2), 0, 1)
    quarter_turns = {3: 2, 6: -1, 8: 1}.get(orientation, 0)
    return np.rot90(pixels, quarter_turns)


def _eight_bit_mode(image: Image.Image) -> str:
    """The mode among L, LA, RGB, RGBA that keeps what an image shows."""
    transparent = "transparency" in image.info
    if image.mode in ("LA", "La"):
        return "LA"
    if image.mode in ("RGBA", "RGBa", "PA") or (transparent and image.mode in ("P", "RGB")):
        return "RGBA"
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return "LA" if transparent else "L"
    if image.mode == "P" and _has_grey_palette(image):
        return "L"
    return "RGB"


def _has_grey_palette(image: Image.Image) -> bool:
    palette = image.palette
    if palette is None:
        return False
    colours = bytes(palette.palette)
    step = len(palette.rawmode or palette.mode)
    return colours[0::step] == colours[1::step] == colours[2::step]


def _to_pixels(image: Image.Image) -> Pixels:
    mode = _eight_bit_mode(image)
    if image.mode.startswith("I"):
        return _from_sixteen_bits(image)
    pixels = np.asarray(image.convert(mode), dtype=np.uint8)
    return pixels.reshape(image.height, image.width, _CHANNELS[mode])


def _from_sixteen_bits(image: Image.Image) -> Pixels:
    values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    layers = [(values + 128) // 257]
    transparent_value = image.info.get("transparency")
    if transparent_value is not None:
        layers.append(np.where(values == transparent_value, 0, 255))
    return np.stack(layers, axis=-1).astype(np.uint8)


def _with_channels(image: Pixels, channels: int) -> Pixels:
    if image.shape[2] == channels:
        return image
    has_alpha, wants_alpha = image.shape[2] in (2, 4), channels in (2, 4)
    colour = image[..., :-1] if has_alpha else image
    alpha = image[..., -1:] if has_alpha else np.full_like(image[..., :1], 255)
    if has_alpha and not wants_alpha:
        colour = _over_white(colour, alpha)
    colour = _with_colour_channels(colour, 1 if channels <= 2 else 3)
    return np.concatenate([colour, alpha], axis=-1) if wants_alpha else colour


def _over_white(colour: Pixels, alpha: Pixels) -> Pixels:
    weight = alpha.astype(np.uint32)
    mixed = colour * weight + 255 * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def _with_colour_channels(colour: Pixels, channels: int) -> Pixels:
    if colour.shape[2] == channels:
        return colour
    if channels == 3:
        return np.repeat(colour, 3, axis=-1)
    # Pillow's own integer luma, so that fitting agrees with Image.convert("L").
    luma = colour.astype(np.uint32) @ np.array([19595, 38470, 7471], dtype=np.uint32)
    return ((luma + 0x8000) >> 16).astype(np.uint8)[..., None]


def _centre_box(
    width: int, height: int, target_width: int, target_height: int
) -> tuple[float, float, float, float]:
    """The largest centred box of the target's aspect ratio, in pixels, not rounded."""
    crop_width = min(float(width), height * target_width / target_height)
    crop_height = min(float(height), width * target_height / target_width)
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    return (left, top, left + crop_width, top + crop_height)
