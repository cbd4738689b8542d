"""Files that are whole or absent; text as people save it."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mue_cli.data.disk import fingerprint
from mue_cli.errors import FileError
from mue_cli.files import (
    append,
    decode,
    open_text,
    read_bytes,
    read_text,
    replacing,
    staged,
    sweep,
    write_text,
)

TEXT = "größe: 3\nname: 犬\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_reads_the_same_however_it_was_saved(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.replace("\n", end).encode(encoding))
    assert read_text(path) == TEXT
    with open_text(path) as lines:
        assert list(lines) == TEXT.splitlines(keepends=True)


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_utf16_is_read_by_its_mark_in_both_orders(tmp_path: Path, mark: bytes) -> None:
    order = "utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"
    (tmp_path / "a.txt").write_bytes(mark + TEXT.encode(order))
    assert read_text(tmp_path / "a.txt") == TEXT


@given(st.text(st.characters(exclude_characters="\0\r\ufeff", exclude_categories=["Cs"])))
def test_any_text_survives_each_encoding(text: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert decode(text.encode(encoding), "there") == text


def test_other_encoding_names_line_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"plain\ncaf\xe9\n")
    message = f"cannot read `{path}`: it is not UTF-8 text (byte 0xe9 in line 2)"
    with pytest.raises(FileError) as whole:
        read_text(path)
    with pytest.raises(FileError) as lines, open_text(path) as file:
        list(file)
    assert whole.value.message == lines.value.message == message
    assert whole.value.hint == "save it as UTF-8"


def test_utf16_without_its_mark_is_not_taken_for_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("plain".encode("utf-16-le"))
    for read in (read_text, lambda path: open_text(path).__enter__()):
        with pytest.raises(FileError, match="byte 0x00"):
            read(path)


def test_what_is_no_plain_file_is_named_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    seen = {
        tmp_path / "pipe": "it is a named pipe",
        tmp_path: "it is a folder",
        Path("/dev/zero"): "it is a device",
        tmp_path / "absent": "no such file or folder",
        tmp_path / "loop": "too many levels of symbolic links",
        tmp_path / "file" / "below": "not a directory",
        tmp_path / ("n" * 300): "file name too long",
    }
    for path, words in seen.items():
        for read in (read_bytes, read_text, lambda path: open_text(path).__enter__()):
            with pytest.raises(FileError) as caught:
                read(path)
            assert caught.value.message == f"cannot read `{path}`: {words}"
            assert caught.value.hint


def test_error_of_the_reader_of_open_text_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(OSError, match="other"), open_text(tmp_path / "a.txt"):
        raise OSError(errno.EIO, "other", "elsewhere")


def test_failed_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("sync", [False, True])
def test_written_file_has_the_permissions_of_a_new_one(tmp_path: Path, sync: bool) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "written", "text", sync=sync)
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_error_of_writing_names_the_file_and_not_its_temporary_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.txt", tmp_path / ("n" * 250) / ("n" * 250 + ".txt")):
        if path.parent.name != "file":
            path = tmp_path / ("n" * 300) / "a.txt"
        with pytest.raises(OSError) as caught:
            write_text(path, "text")
        assert ".mue-part-" not in str(caught.value.filename)


def test_folder_in_the_place_of_a_file_is_met_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(IsADirectoryError), replacing(tmp_path / "a.txt"):
        pytest.fail("the work was begun")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    far, link = tmp_path / "far" / "a.txt", tmp_path / "a.txt"
    write_text(far, "old")
    link.symlink_to("far/a.txt")
    with pytest.raises(ZeroDivisionError), replacing(link) as temporary:
        assert temporary.parent == far.parent, "on the same disk"
        raise ZeroDivisionError
    assert far.read_text() == "old"
    write_text(link, "new", sync=True)
    with staged() as beside:
        beside(tmp_path / "b.txt").write_text("first")
        beside(link).write_text("newer")
    assert link.readlink() == Path("far/a.txt") and far.read_text() == "newer"
    assert [path.name for path in far.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("end", ["gone/a.txt", "a.txt"], ids=["nowhere", "itself"])
def test_a_link_that_leads_nowhere_is_met_before_the_work(tmp_path: Path, end: str) -> None:
    (tmp_path / "a.txt").symlink_to(end)
    with pytest.raises(FileError, match="is a link to nowhere"), replacing(tmp_path / "a.txt"):
        pytest.fail("the work was begun")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").is_symlink()


def test_full_disk_reported_in_other_words_is_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, replacing(tmp_path / "a.safetensors"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "a.safetensors")


def test_sweep_removes_files_of_ended_processes_only(tmp_path: Path) -> None:
    dead = tmp_path / ".mue-part-999999999-x.pt"
    dead.touch()
    (tmp_path / "kept.pt").touch()
    with replacing(tmp_path / "a.pt") as living:
        sweep(tmp_path)
        assert not dead.exists()
        assert living.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "kept.pt"]


def test_staged_files_take_their_places_together(tmp_path: Path) -> None:
    places = [tmp_path / "a.txt", tmp_path / "deep" / "b.txt"]
    with staged() as beside:
        for path in places:
            beside(path).write_text("new")
            assert beside(path) == beside(path)
        assert not any(path.exists() for path in places)
    assert [path.read_text() for path in places] == ["new", "new"]
    assert not list(tmp_path.glob("**/.mue-part-*"))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_staged_files_leave_no_trace_when_stopped(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(stop), staged() as beside:
        beside(tmp_path / "a.txt").write_text("new")
        beside(tmp_path / "b.txt").write_text("new")
        raise stop
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_line_after_a_torn_one_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.jsonl"
    append(path, "1")
    path.write_text(path.read_text() + "to")
    append(path, "2")
    append(path, "3")
    assert path.read_text() == "1\nto\n2\n3\n"


def test_line_that_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of file sizes are Unix's")
    path = tmp_path / "log.jsonl"
    append(path, "1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError):
            append(path, "2" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "1\n"


def test_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    content = bytearray(os.urandom(3_000_000))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    (tmp_path / "b").write_bytes(content + b"x")
    content[5] ^= 1
    (tmp_path / "c").write_bytes(content)
    marks = {fingerprint(tmp_path / name) for name in "abc"}
    assert len(marks) == 3 and all(len(mark) == 16 for mark in marks)
    (tmp_path / "empty").touch()
    assert fingerprint(tmp_path / "empty")
