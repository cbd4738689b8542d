"""Encoded bytes -> RGB picture -> model input, as OFA does it: bicubic resize to a square, (x / 255
- 0.5) / 0.5.

Shape letters: B rows, I image side in pixels.
"""

import functools
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError
from torch import Tensor

from mue_cli.data.problems import BROKEN, NO_PICTURE, TOO_LARGE, Fault
from mue_cli.errors import DataError

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of decompression bombs
# What photographs come as. Pillow has readers for much more, and the one for EPS runs a program on
# the file.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")

# Remarks on pictures that are kept.
ONE_COLOUR = "picture of one colour"
CUT_SHORT = "picture ends too early: the rest is grey or black"
TURNED = "picture turned by EXIF: used as it is stored"
RANGE = "16 or 32 bits: scaled by the range in use"

_WORDS = {
    NO_PICTURE: "cannot decode image: no format that is known ({})",
    BROKEN: "cannot decode image: {}",
    TOO_LARGE: "image of {} is too large to decode safely",
}
_LOOK = 8  # pixels a side are enough to see whether a picture decodes
_DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners give
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF")


class PictureError(DataError):
    """Bytes that give no picture. fault: why."""

    def __init__(self, fault: Fault, hint: str = "replace the file, or leave its rows out") -> None:
        super().__init__(_WORDS[fault.reason].format(fault.value), hint)
        self.fault = fault


@dataclass(frozen=True)
class Look:
    """Whether bytes are a picture, and what is odd about one. fault: None for a picture."""

    fault: Fault | None
    remarks: tuple[str, ...] = ()


_NOTHING_ODD = Look(None)


def decode_image(data: bytes, shrink_to: int | None = None, upright: bool = False) -> Image.Image:
    """Return the picture as RGB; the first one of several, what is transparent on white; its
    content says what it is, not its name.

    As in OFA, a file that ends too early gives what it has. More than 8 bits are scaled by the
    range in use. shrink_to: a JPEG may be decoded at a smaller scale, though not below this many
    pixels a side: quicker, for a look only. upright: turned as EXIF says; OFA does not. Raises
    PictureError when it is no image, damaged beyond reading, or has more than MAX_PIXELS pixels.
    """
    with _opened(data) as image:
        if shrink_to is not None:
            image.draft("RGB", (shrink_to, shrink_to))
        return to_rgb(image, upright)


def to_rgb(image: Image.Image, upright: bool = False) -> Image.Image:
    """Return an opened picture as `decode_image` does."""
    image.load()
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


def look_at(data: bytes) -> Look:
    """Return whether bytes are a picture, with remarks about it."""
    try:
        with _opened(data) as image:
            is_turned = _is_turned(image)
            size = image.size
            image.draft("RGB", (_LOOK, _LOOK))
            is_deep = image.mode.startswith(("I", "F")) and _fills_a_part(image)
            is_rgb = image.mode == "RGB" and "transparency" not in image.info
            rgb = image if is_rgb else to_rgb(image)
            is_plain = _is_plain(rgb)
        if is_plain and rgb.size != size:
            is_plain = _is_plain(decode_image(data))
    except PictureError as error:
        return Look(error.fault)
    if not (is_plain or is_turned or is_deep or ends_early(data)):
        return _NOTHING_ODD
    remarks = {
        ONE_COLOUR: is_plain,
        CUT_SHORT: ends_early(data),
        TURNED: is_turned,
        RANGE: is_deep,
    }
    return Look(None, tuple(remark for remark, holds in remarks.items() if holds))


def ends_early(data: bytes) -> bool:
    """Tell whether the last part of a file, or of its first picture, is not there."""
    if data.startswith(b"\xff\xd8"):
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")  # end of image, start of scan
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-4096:]
    if data.startswith(b"RIFF"):
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")):  # JPEG 2000
        return b"\xff\xd9" not in data
    return _runs_out(data)


class _Watched(io.BytesIO):
    """Bytes, and whether somebody wanted more than there are."""

    ran_out = False

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self.ran_out |= not part and size != 0
        return part


def _runs_out(data: bytes) -> bool:
    """Tell whether a picture wants more bytes than there are (GIF, BMP, TIFF, PPM)."""
    stream = _Watched(data)
    try:
        with _opened(data, stream) as image:
            stream.ran_out = False
            image.load()
    except PictureError:
        return False
    return stream.ran_out


def readable_suffixes() -> tuple[str, ...]:
    """Return the suffixes of FORMATS, as Pillow lists them, in lower case."""
    registered = Image.registered_extensions().items()
    return tuple(sorted(suffix for suffix, name in registered if name in FORMATS))


def resize(image: Image.Image, size: int) -> Image.Image:
    """Return the picture as `size` x `size` pixels; the aspect ratio is not kept."""
    return (
        image
        if image.size == (size, size)
        else image.resize((size, size), Image.Resampling.BICUBIC)
    )


def preprocess(images: Sequence[Image.Image], size: int) -> Tensor:
    """Return the pictures as one float32 tensor (B, 3, I, I) in [-1, 1]."""
    pixels = torch.from_numpy(
        np.stack([np.asarray(resize(image, size)) for image in images])
    )  # (B, I, I, 3) uint8
    return pixels.permute(0, 3, 1, 2).float().contiguous().div_(255).sub_(0.5).div_(0.5)


def encode_png(image: Image.Image) -> bytes:
    """Return the picture as PNG bytes: lossless and quick rather than small."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


@contextmanager
def _opened(data: bytes, stream: io.BytesIO | None = None) -> Iterator[Image.Image]:
    """Open a picture; whatever goes wrong with it inside becomes a PictureError. stream: its bytes,
    where somebody watches them.
    """
    if not data:
        raise PictureError(Fault(BROKEN, "empty file"))
    try:
        with _truncated_files.on():
            image = Image.open(stream or io.BytesIO(data), formats=_readable_formats())
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(f"{image.width} x {image.height} pixels")
            yield image
    except Image.DecompressionBombError as error:
        raise _too_large(str(error)) from error
    except UnidentifiedImageError as error:  # its own words name a memory address
        if data.startswith(_MAGIC):
            raise PictureError(Fault(BROKEN, "its head cannot be read")) from error
        raise PictureError(Fault(NO_PICTURE, f"begins with {data[:16]!r}")) from error
    except PictureError:
        raise
    except Exception as error:  # on damage, Pillow's readers raise whatever they come across
        raise PictureError(Fault(BROKEN, str(error) or type(error).__name__)) from error


def _too_large(size: str) -> PictureError:
    return PictureError(Fault(TOO_LARGE, size), hint="shrink it first")


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    ground.alpha_composite(layer)
    return ground.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Return grey values as 8 bits. Integers: the depth that holds them all is taken for their own,
    so that 12 bits kept in 16 are not black. Floats: of 0 to 1, of 0 to 255, or of what they span.
    """
    if values.dtype.kind != "f":
        highest = int(values.max(initial=0))
        depth = next((depth for depth in _DEPTHS if highest < 1 << depth), highest.bit_length())
        return (np.clip(values, 0, None) >> (depth - 8)).astype(np.uint8)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if low >= 0 and high <= 255:
        low, span = 0.0, 1.0 if high <= 1 else 255.0
    else:
        span = max(high - low, 1e-12)
    return np.rint((values - low) * (255 / span)).astype(np.uint8)


def _fills_a_part(image: Image.Image) -> bool:
    """Tell whether a deep picture needs other scaling than 16 bits of whole range do."""
    values = np.asarray(image)
    return values.dtype.kind == "f" or not 1 << 14 <= int(values.max(initial=0)) < 1 << 16


def _is_turned(image: Image.Image) -> bool:
    if image.format == "TIFF" or "exif" not in image.info:  # Pillow turns TIFF itself
        return False
    return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)


def _is_plain(rgb: Image.Image) -> bool:
    return all(low == high for low, high in rgb.getextrema())  # type: ignore[misc]


@functools.cache
def _readable_formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow was built with; it fails when asked for others."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


class _Switch:
    """Pillow has only a global switch for files that end too early: on while any thread is inside,
    as it was once the last has left.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = False

    @contextmanager
    def on(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._before, ImageFile.LOAD_TRUNCATED_IMAGES = (
                    ImageFile.LOAD_TRUNCATED_IMAGES,
                    True,
                )
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    ImageFile.LOAD_TRUNCATED_IMAGES = self._before


_truncated_files = _Switch()
