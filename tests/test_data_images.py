"""Pictures: decoded whatever their mode, resized and scaled as OFA does."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from mue_cli.data import images
from mue_cli.data.images import decode_image, encode_png, preprocess, resize
from mue_cli.errors import DataError

GOLDEN = Path(__file__).parent / "golden" / "preprocess.npz"


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [32, 64])
def test_preprocessing_equals_ofas(size):
    golden = np.load(GOLDEN)
    image = decode_image(golden["png"].tobytes())
    assert np.array_equal(preprocess([image], size)[0].numpy(), golden[f"out_{size}"])


def test_black_is_minus_one_and_white_is_one():
    pictures = [Image.new("RGB", (5, 9), colour) for colour in ("black", "white")]
    tensor = preprocess(pictures, 4)
    assert tensor.shape == (2, 3, 4, 4)
    assert tensor.dtype == torch.float32
    assert tensor[0].unique().tolist() == [-1.0]
    assert tensor[1].unique().tolist() == [1.0]


def test_channels_are_red_green_blue():
    assert preprocess([Image.new("RGB", (2, 2), (255, 0, 51))], 2)[0, :, 0, 0].tolist() == pytest.approx([1.0, -1.0, -0.6])


def test_picture_of_the_right_size_is_left_alone():
    image = Image.new("RGB", (8, 8), "red")
    assert resize(image, 8) is image
    assert resize(image, 4).size == (4, 4)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("L", (3, 3), 100), (100, 100, 100)),
        (Image.new("1", (3, 3), 1), (255, 255, 255)),
        (Image.new("LA", (3, 3), (100, 0)), (100, 100, 100)),
        (Image.new("RGBA", (3, 3), (10, 20, 30, 0)), (10, 20, 30)),
        (Image.new("RGB", (3, 3), (10, 20, 30)).quantize(4), (10, 20, 30)),
        (Image.fromarray(np.full((3, 3), 0x8000, dtype=np.uint16)), (128, 128, 128)),
    ],
    ids=["grey", "bilevel", "grey-alpha", "rgba", "palette", "sixteen-bit"],
)
def test_every_mode_becomes_rgb(image, pixel):
    decoded = decode_image(encoded(image))
    assert decoded.mode == "RGB"
    assert decoded.getpixel((1, 1)) == pixel


def test_cmyk_becomes_rgb():
    red, green, blue = decode_image(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")).getpixel((8, 8))
    assert red > 240
    assert max(green, blue) < 15


def test_exif_rotation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(encoded(Image.new("RGB", (6, 2)), "JPEG", exif=exif)).size == (6, 2)


def test_truncated_file_gives_what_it_has():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG")
    decoded = decode_image(data[: len(data) // 2])
    assert decoded.size == (64, 64)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_thread_that_is_done_does_not_stop_another_from_reading_a_truncated_file():
    with images._truncated_files.on():
        with images._truncated_files.on():
            pass
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_what_is_no_image_is_said_without_a_memory_address():
    with pytest.raises(DataError, match=r"^cannot decode image: no format that is known$"):
        decode_image(b"hello")


@pytest.mark.parametrize("data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0junk"])
def test_damaged_file_is_a_data_error(data):
    with pytest.raises(DataError, match="cannot decode image"):
        decode_image(data)


def test_decompression_bomb_is_refused(monkeypatch):
    data = encoded(Image.new("L", (40, 40)))
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(DataError, match="40 x 40 pixels is too large"):
        decode_image(data)


def test_bomb_beyond_pillows_own_limit_is_refused(monkeypatch):
    data = encoded(Image.new("L", (40, 40)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match="too large"):
        decode_image(data)


def test_quick_look_shrinks_a_jpeg_but_not_below_the_asked_size():
    data = encoded(Image.new("RGB", (64, 64), "red"), "JPEG")
    assert decode_image(data, shrink_to=8).size == (8, 8)
    assert decode_image(data).size == (64, 64)


def test_png_round_trip_keeps_every_pixel():
    pixels = np.random.default_rng(1).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(decode_image(encode_png(Image.fromarray(pixels)))), pixels)
