"""Images out of folders and archives."""

import tarfile
import tracemalloc
import zipfile

import pytest
from prepared_data import fill_folder, write_tar, write_zip

from mue_cli.data.rows import Problems
from mue_cli.data.sources import image_files
from mue_cli.data.sources.image_files import find_images, is_archive, read_images

FILES = {"a.jpg": b"A", "deep/er/b.JPG": b"B", "c.txt": b"C", ".hidden.jpg": b"H", "d.png": b"D"}


def stem(name):
    return name.rpartition(".")[0]


def read(sources, wanted, problems=None):
    return dict(
        read_images(sources, stem, set(wanted), Problems() if problems is None else problems)
    )


@pytest.fixture(params=["folder", "tar", "tar.gz", "zip"])
def source(request, tmp_path):
    if request.param == "folder":
        return fill_folder(tmp_path / "images", FILES)
    if request.param == "zip":
        return write_zip(tmp_path / "images.zip", FILES)
    return write_tar(
        tmp_path / f"images.{request.param}", FILES, "w:gz" if request.param.endswith("gz") else "w"
    )


def test_wanted_images_are_read_wherever_they_lie(source):
    assert read([source], ["a", "b", "c", ".hidden", "e"]) == {"a": b"A", "b": b"B"}


def test_keys_that_are_done_are_passed_over_and_the_rest_is_as_without_them(source):
    problems = Problems()
    assert dict(read_images([source], stem, {"a", "b"}, problems, done={"a"})) == {"b": b"B"}
    assert (
        dict(
            read_images(
                [source, source.with_name("never.tar")], stem, {"a", "b"}, problems, done={"a", "b"}
            )
        )
        == {}
    )
    assert problems.listed == []


def test_first_source_wins_and_reading_stops_when_all_are_found(tmp_path):
    first = fill_folder(tmp_path / "one", {"a.jpg": b"first"})
    second = fill_folder(tmp_path / "two", {"a.jpg": b"second", "b.jpg": b"B"})
    never = tmp_path / "never.tar"
    never.write_bytes(b"this would be a problem")
    problems = Problems()
    assert read([first, second, never], ["a", "b"], problems) == {"a": b"first", "b": b"B"}
    assert problems.listed == []


def test_member_names_cannot_escape(tmp_path):
    archive = write_tar(
        tmp_path / "evil.tar",
        {"../../outside.jpg": b"X", "/etc/root.jpg": b"Y", "..\\windows.jpg": b"Z"},
    )
    before = sorted(tmp_path.rglob("*"))
    assert read([archive], ["outside", "root", "windows"]) == {
        "outside": b"X",
        "root": b"Y",
        "windows": b"Z",
    }
    assert sorted(tmp_path.rglob("*")) == before


def test_links_in_archives_are_not_followed(tmp_path):
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert read([path], ["a"]) == {}


@pytest.mark.parametrize("name", ["broken.tar", "broken.zip", "broken.tar.gz"])
def test_damaged_archive_is_a_problem_not_an_error(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"no archive at all" * 100)
    problems = Problems()
    assert read([path], ["a"], problems) == {}
    assert [(problem.source, problem.reason) for problem in problems.listed] == [
        (name, "archive damaged or cut short")
    ]


def test_archive_cut_short_gives_what_came_before(tmp_path):
    whole = write_tar(
        tmp_path / "whole.tar", {"a.jpg": b"A" * 600, "b.jpg": b"B" * 5000}
    ).read_bytes()
    path = tmp_path / "cut.tar"
    path.write_bytes(whole[:3000])
    problems = Problems()
    assert list(read([path], ["a", "b"], problems)) == ["a"]
    assert problems.counts() == {"archive damaged or cut short": 1}


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_archives_of_many_files_are_read_in_little_memory(tmp_path, form):
    files = {f"{i}.jpg": b"A" for i in range(3000)}
    path = (
        write_tar(tmp_path / "x.tar", files)
        if form == "tar"
        else write_zip(tmp_path / "x.zip", files)
    )
    tracemalloc.start()
    read_all = read_images([path], stem, set(files) | {f"{i}" for i in range(3001)}, Problems())
    next(read_all)
    before = tracemalloc.get_traced_memory()[0]
    assert sum(1 for _ in read_all) == 2999
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 200_000


def test_zip_whose_names_are_no_text_is_damaged(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"ä.jpg": b"A"})
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xff\xff"))
    problems = Problems()
    assert read([path], ["a"], problems) == {}
    assert problems.counts() == {"archive damaged or cut short": 1}


def test_zip_member_with_a_damaged_lzma_stream_is_a_problem(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.jpg", bytes(range(256)) * 8)
    data = bytearray(path.read_bytes())
    data[40:80] = bytes([255] * 40)
    path.write_bytes(data)
    problems = Problems()
    assert read([path], ["a"], problems) == {}
    assert problems.counts() == {"image file cannot be read": 1}


def test_huge_members_are_listed_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MAX_FILE_BYTES", 10)
    for archive in (
        write_tar(tmp_path / "x.tar", {"a.jpg": b"A" * 11}),
        write_zip(tmp_path / "x.zip", {"a.jpg": b"A" * 11}),
    ):
        problems = Problems()
        assert read([archive], ["a"], problems) == {}
        assert problems.counts() == {"image file too large": 1}


def test_damaged_zip_member_is_a_problem_and_the_rest_is_read(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.jpg": b"AAAAAAAA", "b.jpg": b"B"})
    path.write_bytes(path.read_bytes().replace(b"AAAAAAAA", b"AAAAZAAA"))
    problems = Problems()
    assert read([path], ["a", "b"], problems) == {"b": b"B"}
    assert [(problem.item, problem.reason) for problem in problems.listed] == [
        ("a.jpg", "image file cannot be read")
    ]


def test_images_are_found_under_their_usual_names(tmp_path):
    (tmp_path / "images" / "val2017").mkdir(parents=True)
    (tmp_path / "train2017.zip").touch()
    (tmp_path / "val2014.rar").touch()
    found = find_images(tmp_path, ("train2017", "val2017", "val2014"))
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "train2017.zip",
        "images/val2017",
    ]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.tar", True), ("a.TGZ", True), ("a.zip", True), ("a.json", False)]
)
def test_archives_are_known_by_their_suffix(tmp_path, name, expected):
    (tmp_path / name).touch()
    assert is_archive(tmp_path / name) is expected
