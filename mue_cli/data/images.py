"""Encoded bytes -> RGB picture -> model input, as OFA does it: bicubic resize to a square, (x / 255
- 0.5) / 0.5.

Shape letters: B rows, I image side in pixels.
"""

import functools
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

from mue_cli.errors import DataError

MAX_PIXELS = 89_478_485  # where Pillow starts to warn of decompression bombs
# What photographs come as. Pillow has readers for much more, and the one for EPS runs a program on
# the file.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")


def decode_image(data: bytes, shrink_to: int | None = None) -> Image.Image:
    """Return the picture as RGB; the first one of several, without transparency; its content says
    what it is, not its name.

    As in OFA, EXIF rotation is ignored and a file that ends too early gives what it has. 16 bits
    are scaled to 8. shrink_to: a JPEG may be decoded at a smaller scale, though not below this many
    pixels a side: quicker, for a look only. Raises DataError when it is no image, damaged beyond
    reading, or has more than MAX_PIXELS pixels.
    """
    try:
        with _truncated_files.on():
            image = Image.open(io.BytesIO(data), formats=_readable_formats())
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"image of {image.width} x {image.height} pixels is too large to decode safely",
                    hint="shrink it first",
                )
            if shrink_to is not None:
                image.draft("RGB", (shrink_to, shrink_to))
            return _to_rgb(image)
    except Image.DecompressionBombError as error:
        raise DataError(
            f"image is too large to decode safely: {error}", hint="shrink it first"
        ) from error
    except UnidentifiedImageError as error:  # its own words name a memory address
        raise DataError(
            "cannot decode image: no format that is known",
            hint="replace the file, or leave its rows out",
        ) from error
    except DataError:
        raise
    except Exception as error:  # on damage, Pillow's readers raise whatever they come across
        raise DataError(
            f"cannot decode image: {str(error) or type(error).__name__}",
            hint="replace the file, or leave its rows out",
        ) from error


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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bit, which Pillow would clip at 255
        image = Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8))
    image.load()
    image.info.pop("transparency", None)  # it has no say in RGB, and Pillow would warn of that
    return image.convert("RGB")


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
