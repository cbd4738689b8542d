"""From what a row names to the one file that it means, in folders and archives."""

import io
import os
import stat
import tarfile
import tracemalloc
import unicodedata
import zipfile

import pytest
from prepared_data import fill_folder, write_tar, write_zip

from mue_cli.data.problems import Problems
from mue_cli.data.sources import archives, folder
from mue_cli.data.sources.archives import is_archive
from mue_cli.data.sources.places import Pictures, find_images, require_folder
from mue_cli.data.sources.resolver import Requests, rank
from mue_cli.errors import DataError

FILES = {"a.jpg": b"A", "deep/er/b.JPG": b"B", "c.txt": b"C", ".hidden.jpg": b"H", "d.png": b"D"}


def asking(names):
    """Return requests for these names, each under its own name as a key."""
    requests = Requests()
    for name in names:
        requests.add_path(name, name)
    return requests


def read(paths, names, problems=None, done=()):
    pictures = Pictures(paths, asking(names), Problems() if problems is None else problems)
    return dict(pictures.read(done)), {key: fault.reason for key, fault in pictures.faults.items()}


FORMS = ("folder", "tar", "tar.gz", "zip")


def make(path, form, files):
    if form == "folder":
        return fill_folder(path, files)
    if form == "zip":
        return write_zip(path.with_suffix(".zip"), files)
    return write_tar(path.with_suffix(f".{form}"), files, "w:gz" if form == "tar.gz" else "w")


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


@pytest.fixture
def source(form, tmp_path):
    return make(tmp_path / "images", form, FILES)


def test_files_are_read_wherever_they_lie_and_whatever_their_suffix(source):
    images, faults = read([source], ["a.jpg", "b.JPG", "c.txt", ".hidden.jpg", "e.jpg"])
    assert images == {"a.jpg": b"A", "b.JPG": b"B", "c.txt": b"C", ".hidden.jpg": b"H"}
    assert faults == {"e.jpg": "no such file"}


def test_keys_that_are_done_are_passed_over(source):
    assert read([source], ["a.jpg", "d.png"], done={"a.jpg"})[0] == {"d.png": b"D"}
    assert read([source], ["a.jpg", "d.png"], done={"a.jpg", "d.png"})[0] == {}


def test_pictures_that_no_row_takes_are_counted(source):
    pictures = Pictures([source], asking(["a.jpg"]), Problems())
    assert pictures.notes == ("2 pictures in the sources are taken by no row",)


@pytest.mark.parametrize(
    ("asked", "file", "fits"),
    [
        ("train/001.png", "train/001.png", True),
        ("./train//001.png", "train/001.png", True),
        ("images/train/001.png", "train/001.png", True),  # the source's own name
        ("train\\001.png", "train/001.png", True),
        ("Train/001.PNG", "train/001.png", True),
        (unicodedata.normalize("NFD", "größe/é.png"), "größe/é.png", True),
        ("/home/me/data/train/001.png", "train/001.png", True),
        ("001.png", "train/001.png", True),
        ("001.png", "train/1.png", False),
        ("001.png", "001.jpg", False),
        ("x001.png", "001.png", False),
    ],
)
def test_a_path_is_met_after_normalisation_slashes_and_case(asked, file, fits, form, tmp_path):
    images, faults = read([make(tmp_path / "images", form, {file: b"1"})], [asked])
    assert (images, faults) == (({asked: b"1"}, {}) if fits else ({}, {asked: "no such file"}))


def test_better_fits_go_before_worse_ones():
    best_first = [
        rank("a/B.png", "a/B.png", "images"),
        rank("a\\B.png", "a/B.png", "images"),
        rank("A/b.png", "a/B.png", "images"),
        rank("x/a/B.png", "a/B.png", "images"),
        rank("B.png", "a/B.png", "images"),
        rank("b.png", "a/B.png", "images"),
        rank("x/B.png", "a/B.png", "images"),
        rank("C.png", "a/B.png", "images"),
    ]
    assert best_first == sorted(set(best_first))


def test_one_name_in_several_folders_is_told_apart_by_its_path(form, tmp_path):
    files = {f"{split}/001.png": split.encode() for split in ("test", "train", "val")}
    source = make(tmp_path / "images", form, files)
    assert read([source], files) == (files, {})
    assert read([source], ["001.png"]) == ({}, {"001.png": "several files"})


def test_file_that_is_gone_is_not_replaced_by_its_namesake(form, tmp_path):
    source = make(tmp_path / "images", form, {"train/1.png": b"1", "val/2.png": b"2"})
    images, faults = read([source], ["train/1.png", "train/2.png", "val/3.png"])
    assert images == {"train/1.png": b"1"}
    assert faults == {"train/2.png": "no such file", "val/3.png": "no such file"}


def test_names_alone_serve_where_no_folder_that_is_named_is_there(form, tmp_path):
    source = make(tmp_path / "images", form, {"part1/1.png": b"1", "part2/2.png": b"2"})
    pictures = Pictures([source], asking(["all/1.png", "all/2.png"]), Problems())
    assert dict(pictures.read(())) == {"all/1.png": b"1", "all/2.png": b"2"}
    assert pictures.notes == (
        "2 pictures were taken by their names alone: the folders that the rows name are not there",
    )


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        (["x/a.png", "y/a.png"], []),  # two pictures for sure, and one file
        (["A.png", "a.png"], ["a.png"]),  # one that was overwritten where case does not count
        (["sub/a.png", "a.png"], ["a.png", "sub/a.png"]),  # the file under both of its names
        (["A.png", "a.PNG"], []),
    ],
)
def test_rows_that_name_different_pictures_do_not_share_a_file(asked, taken, tmp_path):
    images, faults = read([fill_folder(tmp_path / "sub", {"a.png": b"1"})], asked)
    assert sorted(images) == taken
    assert faults == {name: "no such file" for name in asked if name not in taken}


def test_names_that_differ_only_in_form_are_two_files_where_both_are_there(tmp_path):
    composed, decomposed = "é.png", unicodedata.normalize("NFD", "é.png")
    archive = write_zip(tmp_path / "x.zip", {composed: b"1", decomposed: b"2", "E.PNG": b"3"})
    assert read([archive], [composed, decomposed])[0] == {composed: b"1", decomposed: b"2"}
    assert read([archive], [unicodedata.normalize("NFD", "É.png")])[1] == {
        unicodedata.normalize("NFD", "É.png"): "several files"
    }


@pytest.mark.parametrize("encoding", ["utf-8", "cp437", "cp866", "cp932", "gbk", "cp1252"])
@pytest.mark.parametrize("form", ["zip", "tar", "folder"])
def test_names_in_other_encodings_are_met(encoding, form, tmp_path):
    name = {"cp866": "ёлка.png", "cp932": "写真.png", "gbk": "照片.png"}.get(encoding, "größe.png")
    if form == "zip":
        path = write_zip(tmp_path / "x.zip", {"A" * len(name.encode(encoding)): b"1"})
        raw = path.read_bytes().replace(b"A" * len(name.encode(encoding)), name.encode(encoding))
        path.write_bytes(raw)
    elif form == "tar":
        path = tmp_path / "x.tar"
        with tarfile.open(path, "w", encoding=encoding, format=tarfile.GNU_FORMAT) as archive:
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"1"))
    else:
        path = tmp_path / "x"
        path.mkdir()
        (path / os.fsdecode(name.encode(encoding))).write_bytes(b"1")
    assert read([path], [name]) == ({name: b"1"}, {})


def test_an_archive_beside_its_unpacked_form_is_one_place(tmp_path):
    unpacked = fill_folder(tmp_path / "images", {"a.jpg": b"A", "sub/c.jpg": b"C"})
    packed = write_zip(
        tmp_path / "images.zip", {"images/a.jpg": b"A", "images/b.jpg": b"B", "sub/c.jpg": b"C"}
    )
    images, faults = read([unpacked, packed], ["a.jpg", "b.jpg", "c.jpg"])
    assert (images, faults) == ({"a.jpg": b"A", "b.jpg": b"B", "c.jpg": b"C"}, {})


@pytest.mark.parametrize("packed", ["zip", "tar"])
def test_an_archive_beside_other_bytes_of_one_name_is_a_problem(tmp_path, packed):
    unpacked = fill_folder(tmp_path / "images", {"a.jpg": b"A", "b.jpg": b"B"})
    files = {"a.jpg": b"Another", "images/b.jpg": b"B"}
    archive = make(tmp_path / "images", packed, files)
    pictures = Pictures([unpacked, archive], asking(["a.jpg", "b.jpg"]), Problems())
    assert dict(pictures.read(())) == {"b.jpg": b"B"}
    assert pictures.faults["a.jpg"].reason == "several files"
    assert pictures.faults["a.jpg"].value == f"a.jpg: images/a.jpg, images.{packed}/a.jpg"


def test_two_places_with_one_name_are_a_problem(tmp_path):
    first = fill_folder(tmp_path / "one", {"a.jpg": b"first"})
    second = fill_folder(tmp_path / "two", {"a.jpg": b"second", "b.jpg": b"B"})
    assert read([first, second], ["a.jpg", "b.jpg"]) == (
        {"b.jpg": b"B"},
        {"a.jpg": "several files"},
    )
    rivals = Pictures([first, second], asking(["a.jpg"]), Problems()).faults["a.jpg"]
    assert rivals.value == "a.jpg: one/a.jpg, two/a.jpg"
    assert read([first, second], ["one/a.jpg", "two/a.jpg"])[0] == {
        "one/a.jpg": b"first",
        "two/a.jpg": b"second",
    }


def test_links_in_a_folder_are_followed_and_circles_end(tmp_path):
    source = fill_folder(tmp_path / "images", {"real/a.jpg": b"A"})
    fill_folder(tmp_path / "elsewhere", {"b.jpg": b"B"})
    (source / "linked.jpg").symlink_to("real/a.jpg")
    (source / "other").symlink_to(tmp_path / "elsewhere")
    (source / "real" / "up").symlink_to("..")
    (source / "broken.jpg").symlink_to("nowhere.jpg")
    os.link(source / "real" / "a.jpg", source / "hard.jpg")
    names = ["linked.jpg", "other/b.jpg", "hard.jpg", "real/a.jpg", "broken.jpg", "a.jpg"]
    images, faults = read([source], names)
    assert faults == {"broken.jpg": "file cannot be read", "a.jpg": "no such file"}
    assert images == dict(zip(names, [b"A", b"B", b"A", b"A"], strict=False))


def test_links_that_double_at_every_step_end(tmp_path):
    source = tmp_path / "images"
    for step in range(30):
        (source / str(step)).mkdir(parents=True)
        for name in ("x", "y"):
            (source / str(step) / name).symlink_to(f"../{step + 1}")
    (source / "30").mkdir()
    (source / "30" / "a.jpg").write_bytes(b"A")
    assert read([source], ["30/a.jpg"])[0] == {"30/a.jpg": b"A"}


def link(name, target, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_links_in_a_tar_are_followed_and_lead_nowhere_else(tmp_path):
    path = tmp_path / "links.tar"
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    with tarfile.open(path, "w") as archive:
        archive.addfile(link("early.jpg", "real/a.jpg", tarfile.SYMTYPE))
        member = tarfile.TarInfo("real/a.jpg")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"A"))
        for name, target, kind in (
            ("hard.jpg", "real/a.jpg", tarfile.LNKTYPE),
            ("deep/er/soft.jpg", "../../real/a.jpg", tarfile.SYMTYPE),
            ("chain.jpg", "hard.jpg", tarfile.SYMTYPE),
            ("folder", "real", tarfile.SYMTYPE),
            ("outside.jpg", "../secret.jpg", tarfile.SYMTYPE),
            ("absolute.jpg", str(tmp_path / "secret.jpg"), tarfile.SYMTYPE),
            ("passwd.jpg", "/etc/passwd", tarfile.LNKTYPE),
            ("self.jpg", "self.jpg", tarfile.SYMTYPE),
            ("ping.jpg", "pong.jpg", tarfile.SYMTYPE),
            ("pong.jpg", "ping.jpg", tarfile.SYMTYPE),
            ("lost.jpg", "gone.jpg", tarfile.SYMTYPE),
        ):
            archive.addfile(link(name, target, kind))
    good = ["early.jpg", "hard.jpg", "deep/er/soft.jpg", "chain.jpg", "folder/a.jpg", "real/a.jpg"]
    bad = ["outside.jpg", "absolute.jpg", "passwd.jpg", "self.jpg", "ping.jpg", "lost.jpg"]
    images, faults = read([path], good + bad)
    assert images == dict.fromkeys(good, b"A")
    assert faults == dict.fromkeys(bad, "no such file")


def test_links_in_a_zip_are_followed(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("real/a.jpg", b"A")
        for name, target in (("soft.jpg", "real/a.jpg"), ("out.jpg", "../../etc/passwd")):
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(member, target)
    assert read([path], ["soft.jpg", "real/a.jpg", "out.jpg"]) == (
        {"soft.jpg": b"A", "real/a.jpg": b"A"},
        {"out.jpg": "no such file"},
    )


def test_pipes_and_devices_are_no_pictures_and_nobody_waits_for_them(tmp_path):
    source = fill_folder(tmp_path / "images", {"a.jpg": b"A"})
    os.mkfifo(source / "pipe.jpg")
    (source / "zero.jpg").symlink_to("/dev/zero")
    assert read([source], ["a.jpg", "pipe.jpg", "zero.jpg"]) == (
        {"a.jpg": b"A"},
        {"pipe.jpg": "not a picture", "zero.jpg": "not a picture"},
    )


def test_member_names_cannot_escape(tmp_path):
    names = {"../../outside.jpg": b"X", "/etc/root.jpg": b"Y", "..\\windows.jpg": b"Z"}
    archive = write_tar(tmp_path / "evil.tar", names)
    before = sorted(tmp_path.rglob("*"))
    asked = ["outside.jpg", "root.jpg", "windows.jpg"]
    assert read([archive], asked)[0] == dict(zip(asked, names.values(), strict=True))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["broken.tar", "broken.zip", "broken.tar.gz"])
def test_damaged_archive_is_a_problem_not_an_error(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"no archive at all" * 100)
    problems = Problems()
    assert read([path], ["a.jpg"], problems) == ({}, {"a.jpg": "no such file"})
    assert [(problem.source, problem.reason) for problem in problems.listed] == [
        (name, "archive damaged or cut short")
    ]


def test_archive_cut_short_gives_what_came_before(tmp_path):
    whole = write_tar(tmp_path / "whole.tar", {"a.jpg": b"A" * 600, "b.jpg": b"B" * 5000})
    path = tmp_path / "cut.tar"
    path.write_bytes(whole.read_bytes()[:3000])
    problems = Problems()
    images, faults = read([path], ["a.jpg", "b.jpg"], problems)
    assert list(images) == ["a.jpg"]
    assert faults == {"b.jpg": "archive damaged or cut short"}
    assert problems.counts() == {"archive damaged or cut short": 1}


@pytest.mark.parametrize("form", ["tar", "zip"])
def test_archives_of_many_files_are_read_in_little_memory(tmp_path, form):
    files = {f"{i}.jpg": b"A" for i in range(3000)}
    pictures = Pictures([make(tmp_path / "x", form, files)], asking(files), Problems())
    tracemalloc.start()
    read_all = pictures.read(())
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
    assert read([path], ["a.jpg"], problems)[0] == {}
    assert problems.counts() == {"archive damaged or cut short": 1}


def test_zip_member_with_a_damaged_lzma_stream_cannot_be_read(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.jpg", bytes(range(256)) * 8)
    data = bytearray(path.read_bytes())
    data[40:80] = bytes([255] * 40)
    path.write_bytes(data)
    assert read([path], ["a.jpg"]) == ({}, {"a.jpg": "file cannot be read"})


def test_huge_files_are_listed_not_read(form, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MAX_FILE_BYTES", 10)
    source = make(tmp_path / "x", form, {"a.jpg": b"A" * 11})
    assert read([source], ["a.jpg"]) == ({}, {"a.jpg": "too large"})


def test_damaged_zip_member_is_a_fault_and_the_rest_is_read(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.jpg": b"AAAAAAAA", "b.jpg": b"B"})
    path.write_bytes(path.read_bytes().replace(b"AAAAAAAA", b"AAAAZAAA"))
    assert read([path], ["a.jpg", "b.jpg"]) == (
        {"b.jpg": b"B"},
        {"a.jpg": "file cannot be read"},
    )


def test_images_are_looked_for_under_their_usual_names(tmp_path):
    (tmp_path / "images" / "val2017").mkdir(parents=True)
    (tmp_path / "train2017.zip").touch()
    (tmp_path / "val2014.rar").touch()
    paths = find_images(tmp_path, ("train2017", "val2017", "val2014"))
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "train2017.zip",
        "images/val2017",
    ]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.tar", True), ("a.TGZ", True), ("a.zip", True), ("a.json", False)]
)
def test_archives_are_known_by_their_suffix(tmp_path, name, expected):
    (tmp_path / name).touch()
    assert is_archive(tmp_path / name) is expected
    assert archives.root_of(tmp_path / name) == ("a" if expected else "a.json")


def test_source_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "pipe", "gone", "x" * 300, "file/deeper"):
        with pytest.raises(DataError, match=r"^cannot read ") as caught:
            require_folder(tmp_path / name)
        assert caught.value.hint
