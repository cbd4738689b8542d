"""From the addresses to the folder that prepare reads: archives, SNLI-VE made of SNLI, and what is
not fetched twice.
"""

import json
import re
import stat
import zipfile

import pytest
from prepared_data import fill_folder, write_zip
from small_snli import pair, write_lists, write_snli
from web_site import Site, serving

from mue_cli.data.fetch import addresses, archives, fetch
from mue_cli.data.fetch.addresses import DATASETS, RemoteFile
from mue_cli.data.fetch.archives import open_member, unpack
from mue_cli.data.fetch.snli import write_snli_ve
from mue_cli.data.problems import Problems
from mue_cli.data.sources.snli_ve import read_pairs
from mue_cli.errors import DataError


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving(Site()) as site:
        yield site


def table(monkeypatch, **datasets):
    monkeypatch.setattr(
        fetch, "DATASETS", {name.replace("_", "-"): files for name, files in datasets.items()}
    )


def zipped(tmp_path, files):
    return write_zip(tmp_path / "made.zip", files).read_bytes()


# --- the table ---------------------------------------------------------------


@pytest.mark.parametrize("dataset", DATASETS)
def test_table_is_well_formed(dataset):
    files = DATASETS[dataset]
    assert len({file.name for file in files}) == len(files)
    for file in files:
        assert re.fullmatch(r"https?://[\w.-]+/[\w./-]+", file.url)
        assert file.checksum is None or re.fullmatch(r"sha256:[0-9a-f]{64}", file.checksum)
        assert (file.size is None) == (file.checksum is None)


def test_mirror_has_the_files_under_the_same_names():
    file = addresses.COCO_CAPTIONS.on("https://mirror.example/mue/")
    assert file.url == "https://mirror.example/mue/annotations_trainval2014.zip"
    assert file.checksum == addresses.COCO_CAPTIONS.checksum
    assert addresses.SNLI.on(None) is addresses.SNLI


# --- archives ----------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../outside.json",
        "a/../../outside.json",
        "/etc/outside.json",
        "..\\outside.json",
        "C:\\x",
        "\\x",
        "a/..",
    ],
)
def test_archive_with_a_name_that_leads_outside_is_refused_as_a_whole(tmp_path, name):
    archive = write_zip(tmp_path / "evil.zip", {"good.json": b"{}", name: b"{}"})
    with pytest.raises(
        DataError,
        match=r"evil\.zip has a member .* that leads outside its folder; nothing was unpacked",
    ):
        unpack(archive, {"good.json": "good.json"}, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.zip"]


def test_only_the_members_that_are_named_are_unpacked(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"deep/good..json": b"{}", "other.json": b"x"})
    unpack(archive, {"deep/good..json": "annotations/good.json"}, tmp_path / "out")
    assert [
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.json")
    ] == ["annotations/good.json"]


def test_links_in_archives_are_refused(tmp_path):
    path = tmp_path / "links.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("good.json")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=r"good\.json in .* is no plain file"):
        unpack(path, {"good.json": "good.json"}, tmp_path)
    assert not (tmp_path / "good.json").is_symlink()


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.json", b"0" * 1_000_000)
    with pytest.raises(DataError, match="unpacks to 1,000,000 bytes, expected 1,000 at most"):
        unpack(path, {"good.json": "good.json"}, tmp_path)


def test_archive_that_lies_about_a_size_gives_no_more_than_that(tmp_path):
    path = tmp_path / "liar.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.json", b"0" * 1_000_000)
    path.write_bytes(
        path.read_bytes().replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    )
    with pytest.raises(DataError, match="damaged"):
        unpack(path, {"good.json": "good.json"}, tmp_path)
    assert not (tmp_path / "good.json").exists()


def test_damaged_archives_and_absent_members_are_errors(tmp_path):
    (tmp_path / "junk.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"junk\.zip is damaged: File is not a zip file"):
        unpack(tmp_path / "junk.zip", {"a": "a"}, tmp_path)
    archive = write_zip(tmp_path / "a.zip", {"a": b"AAAAAAAA"})
    with pytest.raises(DataError, match=r"a\.zip has no member b"):
        unpack(archive, {"b": "b"}, tmp_path)
    archive.write_bytes(archive.read_bytes().replace(b"AAAAAAAA", b"AAAAZAAA"))
    with pytest.raises(DataError, match=r"a\.zip is damaged: Bad CRC-32"):
        unpack(archive, {"a": "out"}, tmp_path)
    assert not (tmp_path / "out").exists()


def test_encrypted_member_is_an_error(tmp_path):
    content = bytearray(write_zip(tmp_path / "a.zip", {"a": b"A"}).read_bytes())
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with (
        pytest.raises(DataError, match=r"cannot read a in .*a\.zip: .*encrypted"),
        open_member(tmp_path / "a.zip", "a"),
    ):
        pass


# --- SNLI-VE -----------------------------------------------------------------


def pair_ids(folder, part):
    return [
        json.loads(line)["pairID"]
        for line in (folder / f"snli_ve_{part}.jsonl").read_text().splitlines()
    ]


def test_snli_ve_follows_the_authors_rule(tmp_path):
    archive = write_snli(
        tmp_path / "snli.zip",
        train=[
            pair("21.jpg#0r1n"),
            pair("31.jpg#0r1n"),
            pair("12.jpg#0r1n"),
            pair("11.jpg#0r1e", "entailment"),
            pair("12.jpg#1r1n"),
        ],
        dev=[
            pair("11.jpg#0r1n", "-"),
            pair("vg_11.jpg#0r1n"),
            pair("11.jpg#2r1c", "contradiction"),
            pair("99.jpg#0r1n"),
        ],
        test=[pair("1000.jpg#0r1n"), pair("11.jpg#3r1n"), pair("no photograph")],
    )
    write_snli_ve(archive, *write_lists(tmp_path), tmp_path)
    # Photographs in the order of the lists; within one, SNLI's train before dev before test.
    assert pair_ids(tmp_path, "train") == [
        "11.jpg#0r1e",
        "11.jpg#2r1c",
        "11.jpg#3r1n",
        "12.jpg#0r1n",
        "12.jpg#1r1n",
    ]
    assert pair_ids(tmp_path, "dev") == ["21.jpg#0r1n", "1000.jpg#0r1n"]
    assert pair_ids(tmp_path, "test") == ["31.jpg#0r1n"]


def test_snli_ve_has_the_fields_that_prepare_reads(tmp_path):
    archive = write_snli(
        tmp_path / "snli.zip",
        train=[pair("11.jpg#0r1e", "entailment", sentence1="A caf\u00e9.", sentence2="A place.")],
    )
    write_snli_ve(archive, *write_lists(tmp_path), tmp_path)
    problems = Problems()
    (row,) = read_pairs(tmp_path / "snli_ve_train.jsonl", problems)
    assert vars(row) == {
        "image_id": "11",
        "pair_id": "11.jpg#0r1e",
        "premise": "A caf\u00e9.",
        "hypothesis": "A place.",
        "label": "entailment",
        "picture": "",
    }
    assert problems.listed == []


@pytest.mark.parametrize(
    "line",
    [b"{\n", b"[]\n", b'{"pairID": 3, "gold_label": "neutral"}\n', b'{"pairID": "1.jpg#0"}\n'],
)
def test_file_that_is_not_snli_is_an_error(tmp_path, line):
    archive = write_zip(tmp_path / "snli.zip", {"snli_1.0/snli_1.0_train.jsonl": line})
    with pytest.raises(
        DataError, match=r"snli\.zip: line 1 of snli_1\.0/snli_1\.0_train\.jsonl is no pair of SNLI"
    ):
        write_snli_ve(archive, *write_lists(tmp_path), tmp_path)
    assert not list(tmp_path.glob("*.jsonl"))


def test_lists_that_are_no_lists_are_errors(tmp_path):
    train_val, test = write_lists(tmp_path)
    test.write_text("<html>")
    with pytest.raises(DataError, match=r"test\.lst is no list of photographs"):
        write_snli_ve(tmp_path / "snli.zip", train_val, test, tmp_path)
    test.write_text("1")
    train_val.write_text("1\n2\n")
    with pytest.raises(DataError, match="lists 2 photographs, expected more than 1000"):
        write_snli_ve(tmp_path / "snli.zip", train_val, test, tmp_path)


# --- the whole way -----------------------------------------------------------


def test_what_is_unpacked_or_lies_there_in_another_form_is_not_fetched(site, tmp_path, monkeypatch):
    site.files = {"/notes.zip": zipped(tmp_path, {"in/notes.json": b"{}"}), "/b.zip": b"B"}
    table(
        monkeypatch,
        coco=(
            RemoteFile(f"{site.url}/notes.zip", members={"in/notes.json": "out/notes.json"}),
            RemoteFile(f"{site.url}/a.zip", images=("a",)),
            RemoteFile(f"{site.url}/b.zip", images=("b",)),
        ),
    )
    source = fill_folder(tmp_path / "source", {"a/1.jpg": b"1"})
    fetch.fetch("coco", source, tmp_path / "data")
    assert sorted(request.path for request in site.requests) == ["/b.zip", "/notes.zip"]
    assert (source / "out" / "notes.json").read_bytes() == b"{}"
    (source / "notes.zip").unlink()
    fetch.fetch("coco", source, tmp_path / "data")
    assert len(site.requests) == 2


def test_archive_that_is_there_must_be_the_published_one(tmp_path, monkeypatch):
    table(monkeypatch, coco=(RemoteFile("http://nowhere/a.zip", size=5, images=("a",)),))
    (tmp_path / "a.zip").write_bytes(b"half")
    with pytest.raises(DataError, match=r"a\.zip has 4 bytes, expected 5"):
        fetch.fetch("coco", tmp_path, tmp_path / "data")


def test_room_is_asked_for_at_both_ends(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fetch, "download", lambda files, folder, report, room: asked.append(room))
    table(
        monkeypatch,
        coco=(
            RemoteFile("http://nowhere/a.zip", size=5, images=("a",)),
            RemoteFile("http://nowhere/b.lst", size=7),
        ),
    )
    fetch.fetch("coco", tmp_path, tmp_path / "data")
    assert asked == [{tmp_path / "data": 5}]


def test_snli_ve_is_made_once(site, tmp_path, monkeypatch):
    train_val, test = write_lists(tmp_path)
    snli = write_snli(
        tmp_path / "snli.zip",
        train=[pair("11.jpg#0r1e")],
        dev=[pair("21.jpg#0r1e")],
        test=[pair("31.jpg#0r1e")],
    )
    files = {
        file.name: path
        for file, path in zip(DATASETS["snli-ve"], (snli, train_val, test), strict=True)
    }
    site.files = {f"/{name}": path.read_bytes() for name, path in files.items()}
    table(monkeypatch, snli_ve=tuple(RemoteFile(f"http://nowhere/{name}") for name in files))
    source = tmp_path / "source"
    fetch.fetch("snli-ve", source, tmp_path / "data", mirror=site.url)
    assert [pair_ids(source, part) for part in ("train", "dev", "test")] == [
        ["11.jpg#0r1e"],
        ["21.jpg#0r1e"],
        ["31.jpg#0r1e"],
    ]
    assert len(site.requests) == 3
    fetch.fetch("snli-ve", source, tmp_path / "data", mirror=site.url)
    assert len(site.requests) == 3
