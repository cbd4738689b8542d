"""Pictures: decoded whatever their mode, resized and scaled as OFA does."""

import contextlib
import io
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image, ImageFile
from PIL.MpoImagePlugin import MpoImageFile

from mue_cli.data import images
from mue_cli.data.images import decode_image, encode_png, look_at, preprocess, resize
from mue_cli.data.problems import Fault
from mue_cli.errors import DataError

GOLDEN = Path(__file__).parent / "golden" / "preprocess.npz"


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def bicubic(pixels: np.ndarray, size: int, axes: tuple[int, int]) -> np.ndarray:
    """Return pixels reduced or enlarged along one axis, rounded, and then along the other."""
    for axis in axes:
        pixels = np.apply_along_axis(lambda line: _weights(len(line), size) @ line, axis, pixels)
        pixels = np.clip(np.rint(pixels), 0, 255)
    return pixels.astype(np.uint8)


def _weights(length: int, size: int) -> np.ndarray:
    """Return the weights (size, length) of Keys' cubic kernel, a = -0.5, widened to reduce."""
    scale, wide = length / size, max(length / size, 1.0)
    centres = (np.arange(size)[:, None] + 0.5) * scale
    away = np.abs((np.arange(length) + 0.5 - centres) / wide)
    near = (1.5 * away - 2.5) * away**2 + 1
    far = ((2.5 - 0.5 * away) * away - 4) * away + 2
    weights = np.where(away < 1, near, np.where(away < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [32, 64])
def test_preprocessing_equals_ofas(size):
    """Pixels are rounded between the axes. Pillow 13 takes rows first where that is less work,
    Pillow 11 and 12 take columns first always; OFA's picture was made with 13.
    """
    golden = np.load(GOLDEN)
    image = decode_image(golden["png"].tobytes())
    truths = [bicubic(np.asarray(image, float), size, axes) for axes in ((0, 1), (1, 0))]
    for outcome in (golden[f"out_{size}"], preprocess([image], size)[0].numpy()):
        scaled = [(np.float32(truth) / 255 - 0.5) / 0.5 for truth in truths]
        assert any(np.array_equal(outcome, truth.transpose(2, 0, 1)) for truth in scaled)


def test_black_is_minus_one_and_white_is_one():
    pictures = [Image.new("RGB", (5, 9), colour) for colour in ("black", "white")]
    tensor = preprocess(pictures, 4)
    assert tensor.shape == (2, 3, 4, 4)
    assert tensor.dtype == torch.float32
    assert tensor[0].unique().tolist() == [-1.0]
    assert tensor[1].unique().tolist() == [1.0]


def test_channels_are_red_green_blue():
    assert preprocess([Image.new("RGB", (2, 2), (255, 0, 51))], 2)[
        0, :, 0, 0
    ].tolist() == pytest.approx([1.0, -1.0, -0.6])


def test_picture_of_the_right_size_is_left_alone():
    image = Image.new("RGB", (8, 8), "red")
    assert resize(image, 8) is image
    assert resize(image, 4).size == (4, 4)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("L", (3, 3), 100), (100, 100, 100)),
        (Image.new("1", (3, 3), 1), (255, 255, 255)),
        (Image.new("LA", (3, 3), (100, 0)), (255, 255, 255)),
        (Image.new("RGBA", (3, 3), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("RGB", (3, 3), (10, 20, 30)).quantize(4), (10, 20, 30)),
        (Image.fromarray(np.full((3, 3), 0x8000, dtype=np.uint16)), (128, 128, 128)),
    ],
    ids=["grey", "bilevel", "grey-alpha", "rgba", "palette", "sixteen-bit"],
)
def test_every_mode_becomes_rgb(image, pixel):
    decoded = decode_image(encoded(image))
    assert decoded.mode == "RGB"
    assert decoded.getpixel((1, 1)) == pixel


NOISE = Image.fromarray(np.random.default_rng(2).integers(0, 256, (20, 24, 3), dtype=np.uint8))
MASK = Image.fromarray(np.random.default_rng(3).integers(0, 256, (20, 24), dtype=np.uint8))


def with_alpha(image):
    image = image.copy()
    image.putalpha(MASK)
    return image


FILES = {
    "grey jpeg": encoded(NOISE.convert("L"), "JPEG"),
    "progressive jpeg": encoded(NOISE, "JPEG", progressive=True),
    "cmyk jpeg": encoded(NOISE.convert("CMYK"), "JPEG"),
    "cmyk tiff": encoded(NOISE.convert("CMYK"), "TIFF"),
    "rgba png": encoded(with_alpha(NOISE)),
    "grey-alpha png": encoded(with_alpha(NOISE.convert("L"))),
    "palette png": encoded(NOISE.quantize(16)),
    "palette png with a transparent colour": encoded(NOISE.quantize(16), transparency=3),
    "palette png with an alpha for each colour": encoded(
        NOISE.quantize(16), transparency=bytes(range(0, 256, 16))
    ),
    "rgb png with a transparent colour": encoded(NOISE, transparency=(1, 2, 3)),
    "bilevel tiff": encoded(NOISE.convert("1"), "TIFF", compression="group4"),
    "gif": encoded(NOISE, "GIF", transparency=0),
    "webp": encoded(with_alpha(NOISE), "WEBP", lossless=True),
    "bmp": encoded(NOISE, "BMP"),
    "compressed tiff": encoded(NOISE, "TIFF", compression="tiff_lzw"),
}


def plain_pillow(data: bytes) -> np.ndarray:
    """Read the slow and obvious way: a transparent pixel is mixed with white, each by itself."""
    image = Image.open(io.BytesIO(data))
    if "A" not in image.mode and "transparency" not in image.info:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA")).astype(float)
    opaque = rgba[..., 3:] / 255
    return rgba[..., :3] * opaque + 255 * (1 - opaque)


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_plain_pillow_on_white(name):
    decoded, plain = np.asarray(decode_image(FILES[name])), plain_pillow(FILES[name])
    assert decoded.shape == plain.shape
    assert np.abs(decoded - plain).max() <= (0 if plain.dtype == np.uint8 else 1)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_fewer_bits_kept_in_sixteen_are_not_black(bits, form):
    ramp = np.linspace(0, 2**bits - 1, 256).astype(np.uint16).reshape(16, 16)
    data = encoded(Image.fromarray(ramp), form)
    assert np.array_equal(np.asarray(decode_image(data))[..., 0], ramp >> (bits - 8))
    assert look_at(data).remarks == (() if bits == 16 else (images.RANGE,))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 255), (-3, 7), (0, 70_000)])
def test_floats_are_scaled_by_what_they_span(low, high):
    values = np.linspace(low, high, 256, dtype=np.float32).reshape(16, 16)
    grey = np.asarray(decode_image(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert np.abs(grey.astype(int) - np.arange(256).reshape(16, 16)).max() <= 1


def test_numbers_that_are_none_do_not_spoil_the_rest():
    values = np.array([[0, 1], [np.nan, np.inf]], dtype=np.float32)
    grey = np.asarray(decode_image(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert grey.tolist() == [[0, 255], [0, 0]]


def test_thirty_two_bits_are_scaled_and_negative_ones_are_black():
    values = np.array([[-5, 0], [2**29, 2**30]], dtype=np.int32)
    grey = np.asarray(decode_image(encoded(Image.fromarray(values), "TIFF")))[..., 0]
    assert grey.tolist() == [[0, 0], [64, 128]]


def test_what_is_transparent_lies_on_white():
    logo = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    logo.paste((0, 0, 0, 255), (2, 2, 6, 6))
    decoded = decode_image(encoded(logo))
    assert [decoded.getpixel(at) for at in ((0, 0), (4, 4))] == [(255, 255, 255), (0, 0, 0)]


def turned(orientation: int, form: str) -> bytes:
    """A picture, red on the left, with an EXIF orientation."""
    image = Image.new("RGB", (16, 8), "blue")
    image.paste("red", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, form, exif=exif)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_turns_a_picture_only_where_that_is_asked_for(form):
    data = turned(6, form)  # to be turned to the right: the left side is then above
    assert decode_image(data).size == (16, 8)
    upright = decode_image(data, upright=True)
    assert upright.size == (8, 16)
    assert upright.getpixel((4, 2))[0] > 200
    assert look_at(data).remarks == (images.TURNED,)
    assert look_at(turned(1, form)).remarks == ()


def test_picture_of_one_colour_is_remarked_and_fine_detail_is_not_one_colour():
    assert look_at(encoded(Image.new("RGB", (64, 64), "red"), "JPEG")).remarks == (
        images.ONE_COLOUR,
    )
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    data = encoded(Image.fromarray(board.astype(np.uint8)), "JPEG", quality=95)
    assert len(decode_image(data, shrink_to=8).convert("L").getcolors()) == 1
    assert look_at(data).remarks == ()


@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "MPO"]
)
def test_picture_that_ends_too_early_is_remarked(form):
    data = encoded(NOISE.resize((200, 200)), form)
    assert not images.ends_early(data)
    assert images.ends_early(data[: len(data) * 3 // 4])
    assert not images.ends_early(data + b"something after the end")
    assert look_at(data).remarks == ()
    if form != "WEBP":  # refused
        assert images.CUT_SHORT in look_at(data[: len(data) * 3 // 4]).remarks


@pytest.mark.parametrize("form", ["GIF", "TIFF"])
def test_film_whose_first_picture_is_whole_does_not_end_too_early(form):
    frames = [NOISE, NOISE.rotate(90), NOISE.rotate(180)]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert not images.ends_early(data[: len(data) * 3 // 4])
    assert images.ends_early(data[: len(data) // 5])


def test_look_tells_apart_no_picture_and_a_broken_and_a_large_one(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    reasons = {
        "not a picture": b"<html><body>404",
        "broken picture": b"\xff\xd8\xff\xe0junk",
        "too large": encoded(Image.new("L", (40, 40))),
    }
    for reason, data in reasons.items():
        assert look_at(data).fault.reason == reason
    assert look_at(b"").fault == Fault("broken picture", "empty file")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FILES)
def test_pictures_that_can_be_read_are_read_without_a_warning(name):
    decode_image(FILES[name])


@pytest.mark.parametrize("adobe", [True, False], ids=["with Adobe's marker", "without"])
def test_cmyk_jpegs_are_inverted_as_adobe_has_them(adobe):
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    start = data.index(b"\xff\xee\x00\x0eAdobe")
    red, green, blue = decode_image(data if adobe else data[:start] + data[start + 16 :]).getpixel(
        (8, 8)
    )
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form):
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    assert np.array_equal(
        np.asarray(decode_image(encoded(Image.fromarray(ramp), form)))[..., 0], ramp >> 8
    )


def test_big_endian_tiff_of_sixteen_bits_is_read():
    """A whole TIFF by hand: Pillow writes little-endian ones."""
    fields = [
        (256, 4, 2),
        (257, 4, 1),
        (258, 3, 16 << 16),
        (259, 3, 1 << 16),
        (262, 3, 1 << 16),
        (273, 4, 8),
        (278, 4, 1),
        (279, 4, 4),
    ]
    entries = b"".join(struct.pack(">HHII", tag, kind, 1, value) for tag, kind, value in fields)
    data = (
        b"MM\0*"
        + struct.pack(">I", 12)
        + b"\x12\x34\xff\x00"
        + struct.pack(">H", len(fields))
        + entries
        + bytes(4)
    )
    assert [decode_image(data).getpixel((x, 0)) for x in (0, 1)] == [(0x12,) * 3, (0xFF,) * 3]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_first_of_several_pictures_counts(form):
    pictures = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if form == "WEBP" else {"quality": 100} if form == "MPO" else {}
    data = encoded(pictures[0], form, save_all=True, append_images=pictures[1:], **options)
    if form == "MPO" and not isinstance(Image.open(io.BytesIO(data)), MpoImageFile):
        pytest.skip("this Pillow (11.0) writes MPO files that no Pillow can read")
    assert Image.open(io.BytesIO(data)).n_frames == 3
    red, green, blue = decode_image(data).getpixel((5, 5))
    assert red > 250
    assert max(green, blue) < 5


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
    with pytest.raises(
        DataError, match=r"^cannot decode image: no format that is known \(begins with b'hello'\)$"
    ):
        decode_image(b"hello")


def test_a_program_is_never_run_on_a_file(monkeypatch):
    monkeypatch.setattr(
        EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("ran Ghostscript")
    )
    with pytest.raises(DataError, match="no format that is known"):
        decode_image(encoded(Image.new("RGB", (8, 8)), "EPS"))


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is this large."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_460, 13_000, 2**31 - 1])
def test_small_file_that_says_it_is_huge_is_refused_before_memory_is_taken(side):
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="too large to decode safely"):
            decode_image(png_of(side, side))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_the_largest_picture_that_is_read_has_89_megapixels():
    assert 9_459 * 9_459 <= images.MAX_PIXELS < 9_460 * 9_460


def test_giant_profile_is_not_unpacked():
    data = encoded(NOISE)
    profile = png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(200 * 2**20)))
    tracemalloc.start()
    decoded = decode_image(data[:33] + profile + data[33:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(np.asarray(decoded), np.asarray(NOISE))
    assert peak < 10 * 2**20
    assert decode_image(encoded(NOISE, "JPEG", icc_profile=bytes(3 * 2**20))).size == NOISE.size


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_damage_anywhere_gives_a_picture_or_a_data_error(name):
    rng = random.Random(name)
    for _ in range(60):
        data = bytearray(FILES[name])
        for _ in range(rng.choice((1, 3, 20))):
            data[rng.randrange(min(len(data), rng.choice((64, 10_000))))] = rng.randrange(256)
        with contextlib.suppress(DataError):
            assert (
                decode_image(
                    bytes(data[: rng.randrange(len(data) * 2)]), shrink_to=rng.choice((None, 8))
                ).mode
                == "RGB"
            )


@pytest.mark.parametrize(
    "data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0junk"]
)
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
