"""A user's own pictures: lists on stdin, and pictures that are in memory already."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mue_cli.data.files_below import MAX_VISITS
from mue_cli.data.images import CUT_SHORT, decode_image
from mue_cli.data.pictures import Picture, find_pictures, prepare_picture, read_pictures
from mue_cli.errors import MueError


@pytest.fixture
def album(tmp_path, monkeypatch):
    """Return a folder, made the current one, with three pictures."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "ä.png", "b c.png"):
        Image.new("RGB", (4, 4), "red").save(name)
    return tmp_path


def give(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_on_stdin_is_read_by_its_mark(album, monkeypatch, encoding, end) -> None:
    give(monkeypatch, end.join(["a.png", "ä.png", "", "b c.png"]).encode(encoding))
    assert find_pictures(["-"]) == ["a.png", "ä.png", "b c.png"]


def test_a_list_may_have_zero_bytes_between_names_of_one_letter(album, monkeypatch) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (4, 4)).save(album / name, "PNG")
    give(monkeypatch, b"a\0b\0./a.png\0")
    assert find_pictures(["-"]) == ["a", "b", "./a.png"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("./a.png\n.\n".encode("utf-16-le"), "is UTF-16 without its mark"),
        (".\n./a.png\n".encode("utf-16-be"), "is UTF-16 without its mark"),
        (b".\n" + b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "entry 1 is `.\\n\\udc89PNG"),
        (b".\n\x1b[2J\n", "entry 2 is `\\x1b[2J`"),
        (b".\n" + b"x" * 5000, "entry 2 is `xxx"),
        (b"\xff\xfe.\0\n", "is not UTF-16 text"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_whole(album, monkeypatch, data, message) -> None:
    """A line that was misread is often ".": the whole folder would be walked."""
    give(monkeypatch, data)
    with pytest.raises(MueError) as caught:
        find_pictures(["-"])
    assert message in caught.value.message


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16"])
def test_a_picture_in_memory_is_the_one_that_its_file_would_be(mode) -> None:
    """Transparency on white, 12 bits kept in 16 not black, whoever opened the file."""
    deep = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 16)
    clear = Image.new("RGBA", (8, 8), (9, 9, 9, 0))
    file = io.BytesIO()
    (deep if mode == "I;16" else clear.convert(mode)).save(file, "TIFF")
    prepared = prepare_picture("mine", Image.open(file), 8).image
    assert np.array_equal(prepared, decode_image(file.getvalue(), upright=True))
    assert np.asarray(prepared).max() > 200


def test_linked_folders_are_searched_and_a_loop_ends(album, tmp_path_factory) -> None:
    other = tmp_path_factory.mktemp("other")
    Image.new("RGB", (4, 4)).save(other / "d.png")
    (other / "deep").mkdir()
    Image.new("RGB", (4, 4)).save(other / "deep" / "e.png")
    (other / "back").symlink_to(album)
    (album / "linked").symlink_to(other)
    (album / "self").symlink_to(album)
    (album / "gone").symlink_to(album / "nowhere")
    passed_over: list[str] = []
    named = find_pictures(["."], passed_over)
    assert named == ["a.png", "b c.png", "ä.png", "linked/d.png", "linked/deep/e.png"]
    assert passed_over == ["gone"]


def test_links_that_meet_again_and_again_do_not_double_without_end(album) -> None:
    for level in range(20):
        (album / f"f{level}").mkdir()
        for name in "xy":
            (album / f"f{level}" / name).symlink_to(album / f"f{level + 1}")
    (album / "f20").mkdir()
    Image.new("RGB", (4, 4)).save(album / "f20" / "z.png")
    assert len(find_pictures(["f0"])) == MAX_VISITS, "every way to it, but no more"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP"])
def test_picture_that_ends_early_is_used_and_remarked(album, form) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(album / "whole", form)
    data = (album / "whole").read_bytes()
    (album / "cut").write_bytes(data[: len(data) // 2])
    whole, cut = read_pictures(["whole", "cut"], 8)
    assert isinstance(whole, Picture) and isinstance(cut, Picture)
    assert (whole.remark, cut.remark) == (None, CUT_SHORT)
