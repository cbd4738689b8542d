"""Downloads from a server that breaks off, lies, changes its mind or refuses."""

import errno
import hashlib
import io
import random
import shutil
import socket
import ssl
import threading
import time
import urllib.request
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import pytest
from web_site import Fault, Site, serving

from mue_cli.data.fetch import download as engine
from mue_cli.data.fetch.addresses import RemoteFile
from mue_cli.data.fetch.download import download, is_finished
from mue_cli.data.fetch.http import Redirects
from mue_cli.errors import DataError

CONTENT = random.Random(0).randbytes(3_000_000)


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving(Site({"/x.zip": CONTENT})) as site:
        yield site


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Seconds that would have been waited."""
    seconds = []
    monkeypatch.setattr(engine, "pause", lambda stop, wait: seconds.append(wait))
    return seconds


def remote(site, name="x.zip", **published):
    return RemoteFile(f"{site.url}/{name}", **published)


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def cut_short(site, folder, at=1_000_000):
    """Leave a part of the first `at` bytes, as an earlier run would."""
    site.faults = [Fault(cut=at), Fault(status=404)]
    with pytest.raises(DataError, match="404"):
        download([remote(site)], folder)
    site.requests.clear()
    assert names(folder) == ["x.zip.part", "x.zip.part.json"]


def test_whole_file_gets_its_name_and_nothing_else_is_left(site, tmp_path):
    told = []
    download(
        [remote(site, size=len(CONTENT), checksum=sha256(CONTENT))],
        tmp_path / "new",
        lambda *what: told.append(what),
    )
    assert (tmp_path / "new" / "x.zip").read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["x.zip"]
    assert {total for _, total, _ in told} == {3}
    assert told[-1] == (3, 3, "MB")


def test_three_broken_connections_cost_no_byte_twice(site, tmp_path, pauses):
    site.faults = [Fault(cut=700_000), Fault(cut=900_000), Fault(cut=1)]
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert [request.range for request in site.requests] == [
        None,
        "bytes=700000-",
        "bytes=1600000-",
        "bytes=1600001-",
    ]
    assert [request.if_range for request in site.requests] == [None, '"one"', '"one"', '"one"']
    assert site.sent == len(CONTENT)
    assert len(pauses) == 3


def test_three_times_ctrl_c_and_each_run_goes_on_where_the_last_stopped(site, tmp_path):
    for stopped_at in (500_000, 1_200_000, 2_500_000):
        have = sum(request.sent for request in site.requests)
        release = threading.Event()
        site.faults = [Fault(cut=stopped_at - have, after=lambda release=release: release.wait(5))]

        def interrupt(done, total, note, release=release, stopped_at=stopped_at):
            part = tmp_path / "x.zip.part"
            if part.exists() and part.stat().st_size == stopped_at:
                release.set()
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            download([remote(site)], tmp_path, interrupt)
        assert (tmp_path / "x.zip.part").stat().st_size == stopped_at
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert len(site.requests) == 4
    assert site.sent == len(CONTENT)


def test_files_come_at_the_same_time(site, tmp_path):
    both = threading.Barrier(2, timeout=5)
    site.files = {"/a.zip": b"A" * 1000, "/b.zip": b"B" * 2000}
    site.faults = [Fault(before=both.wait), Fault(before=both.wait)]
    download([remote(site, "a.zip"), remote(site, "b.zip")], tmp_path)
    assert [(tmp_path / name).stat().st_size for name in ("a.zip", "b.zip")] == [1000, 2000]
    assert not both.broken


def test_one_that_fails_stops_the_others_and_what_came_is_kept(site, tmp_path):
    part, release = tmp_path / "slow.zip.part", threading.Event()

    def some_has_come():
        while not part.exists() or part.stat().st_size < 1000:
            time.sleep(0.01)

    site.files["/slow.zip"] = CONTENT
    site.faults = [
        Fault(path="/slow.zip", cut=1000, after=lambda: release.wait(0.3)),
        Fault(path="/x.zip", status=403, before=some_has_come),
    ]
    with pytest.raises(DataError, match="answers 403"):
        download([remote(site, "slow.zip"), remote(site)], tmp_path)
    assert names(tmp_path) == ["slow.zip.part", "slow.zip.part.json"]
    assert part.stat().st_size == 1000


def test_finished_files_are_not_asked_for_again(site, tmp_path):
    download([remote(site)], tmp_path)
    site.requests.clear()
    download([remote(site, size=len(CONTENT))], tmp_path)
    assert site.requests == []


def test_file_of_no_bytes_arrives(site, tmp_path):
    site.files["/x.zip"] = b""
    download([remote(site)], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == b""


def test_other_file_under_the_name_is_an_error_and_stays(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"x\.zip has 4 bytes, expected 3,000,000") as caught:
        is_finished(RemoteFile("http://nowhere/x.zip", size=3_000_000), tmp_path)
    assert "move it away" in caught.value.hint
    assert (tmp_path / "x.zip").read_bytes() == b"mine"


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_wrong_checksum_names_both_and_removes_the_file(site, tmp_path, algorithm):
    expected = f"{algorithm}:{hashlib.new(algorithm, b'other').hexdigest()}"
    found = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    with pytest.raises(
        DataError, match=f"x.zip has {found}, expected {expected}; what came was removed"
    ) as caught:
        download([remote(site, checksum=expected)], tmp_path)
    assert "--mirror" in caught.value.hint
    assert names(tmp_path) == []
    assert len(site.requests) == 1


def test_wrong_size_is_refused_before_anything_is_fetched(site, tmp_path):
    with pytest.raises(DataError, match=r"x\.zip has 3,000,000 bytes, expected 7"):
        download([remote(site, size=7)], tmp_path)
    assert names(tmp_path) == []


def test_file_of_unknown_size_has_a_limit(site, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "MAX_BYTES", 1_000_000)
    with pytest.raises(DataError, match=r"has 3,000,000 bytes, expected 1,000,000 at most"):
        download([remote(site)], tmp_path)
    site.faults = [Fault(no_length=True)]
    with pytest.raises(DataError, match="sends more than the 1,000,000 bytes expected"):
        download([remote(site)], tmp_path)
    assert names(tmp_path) == []


def test_server_errors_are_retried_ever_more_slowly(site, tmp_path, pauses):
    told = []
    site.faults = [Fault(status=status) for status in (500, 502, 503, 504, 408)]
    download([remote(site)], tmp_path, lambda *what: told.append(what[2]))
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert [0.5 * 2**n <= wait <= 2**n for n, wait in enumerate(pauses, start=1)] == [True] * 5


def test_the_wait_that_a_server_asks_for_is_kept(site, tmp_path, pauses):
    site.faults = [
        Fault(status=429, headers={"Retry-After": wait})
        for wait in ("120", formatdate(usegmt=True), "soon", "99999999")
    ]
    download([remote(site)], tmp_path)
    assert pauses[0] == 120
    assert all(wait <= 8 for wait in pauses[1:3])
    assert pauses[3] == engine.MAX_RETRY_AFTER_S


def test_waiting_is_told(site, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(engine, "pause", lambda stop, wait: stop.wait(0.3))
    site.faults = [Fault(status=503)]
    download([remote(site)], tmp_path, lambda *what: told.append(what[2]))
    assert any(note.startswith("MB; x.zip: 503 Service Unavailable, again in ") for note in told)


def test_server_that_keeps_failing_is_given_up(site, tmp_path):
    site.faults = [Fault(status=500)] * 20
    with pytest.raises(
        DataError, match=r"gave up on http.*x\.zip after 8 attempts: 500 Internal Server Error"
    ) as caught:
        download([remote(site)], tmp_path)
    assert "goes on where it stopped" in caught.value.hint
    assert len(site.requests) == 8


def test_attempts_that_bring_something_are_not_counted(site, tmp_path):
    site.faults = [Fault(cut=1000)] * 20
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert len(site.requests) == 21


def test_server_without_ranges_that_always_breaks_off_is_given_up(site, tmp_path):
    site.faults = [Fault(cut=1000, ignore_range=True)] * 20
    with pytest.raises(DataError, match=r"the connection ended after 1,000 of 3,000,000 bytes"):
        download([remote(site)], tmp_path)


@pytest.mark.parametrize(
    ("status", "answer"),
    [(404, "404 Not Found"), (403, "403 Forbidden"), (401, "401 Unauthorized")],
)
def test_refusals_are_not_retried(site, tmp_path, status, answer):
    site.faults = [Fault(status=status)]
    with pytest.raises(DataError, match=f"x.zip answers {answer}") as caught:
        download([remote(site)], tmp_path)
    assert str(tmp_path / "x.zip") in caught.value.hint
    assert len(site.requests) == 1


def test_server_that_is_not_there_is_given_up(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x.zip"
        with pytest.raises(DataError, match=r"gave up .* after 8 attempts: .*refused"):
            download([RemoteFile(url)], tmp_path)


def test_body_that_is_no_http_is_given_up(site, tmp_path):
    site.faults = [Fault(no_length=True, headers={"Transfer-Encoding": "chunked"})] * 8
    with pytest.raises(DataError, match=r"after 8 attempts: connection broken"):
        download([remote(site)], tmp_path)


def test_server_without_a_valid_certificate_is_refused_at_once(tmp_path, monkeypatch):
    error = ssl.SSLCertVerificationError(1, "failed")
    error.verify_message = "certificate has expired"

    def refuse(request, timeout):
        raise URLError(error)

    monkeypatch.setattr(engine, "opener", lambda: SimpleNamespace(open=refuse))
    with pytest.raises(
        DataError, match=r"https://a/x\.zip has no valid certificate: certificate has expired"
    ):
        download([RemoteFile("https://a/x.zip")], tmp_path)


def test_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*file: file exists"):
        download([RemoteFile("https://a/x.zip")], tmp_path / "file")


def test_server_that_ignores_ranges_sends_the_file_anew(site, tmp_path):
    cut_short(site, tmp_path)
    site.faults = [Fault(ignore_range=True)]
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert [request.range for request in site.requests] == ["bytes=1000000-"]


@pytest.mark.parametrize("ignore_if_range", [False, True])
def test_file_that_changed_is_not_joined_to_the_part(site, tmp_path, ignore_if_range):
    cut_short(site, tmp_path)
    site.files["/x.zip"], site.etags["/x.zip"] = CONTENT[::-1], '"two"'
    site.faults = [Fault(ignore_if_range=ignore_if_range)]
    download([remote(site)], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT[::-1]


def test_file_that_shrank_is_fetched_anew(site, tmp_path):
    cut_short(site, tmp_path)
    site.files["/x.zip"] = b"short"
    download([remote(site)], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == b"short"


def test_date_serves_where_the_etag_is_weak(site, tmp_path):
    site.etags["/x.zip"], site.last_modified = 'W/"one"', "Tue, 10 Jul 2018 00:00:00 GMT"
    site.faults = [Fault(cut=1000)]
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert [(request.range, request.if_range) for request in site.requests] == [
        (None, None),
        ("bytes=1000-", site.last_modified),
    ]


def test_part_that_cannot_be_told_from_another_files_is_not_used(site, tmp_path):
    site.etags["/x.zip"] = ""
    site.faults = [Fault(cut=1000)]
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert [request.range for request in site.requests] == [None, None]


@pytest.mark.parametrize("meta", ["{", "[]", '{"validator": 1, "length": 2}', '{"validator": "x"}'])
def test_part_with_a_damaged_note_is_not_used(site, tmp_path, meta):
    cut_short(site, tmp_path)
    (tmp_path / "x.zip.part.json").write_text(meta)
    download([remote(site)], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT
    assert site.requests[0].range is None


def test_part_that_is_whole_needs_no_server(site, tmp_path):
    cut_short(site, tmp_path)
    (tmp_path / "x.zip.part").write_bytes(CONTENT)
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert site.requests == []
    assert names(tmp_path) == ["x.zip"]


def test_answer_to_another_range_starts_over(site, tmp_path):
    cut_short(site, tmp_path)
    site.faults = [Fault(headers={"Content-Range": "bytes 5-9/10"})]
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT


def test_redirect_to_another_http_address_is_followed_with_its_range(site, tmp_path):
    cut_short(site, tmp_path)
    site.files["/y"] = CONTENT
    site.faults = [Fault(status=302, headers={"Location": f"{site.url}/y"})]
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert [(request.path, request.range) for request in site.requests] == [
        ("/x.zip", "bytes=1000000-"),
        ("/y", "bytes=1000000-"),
    ]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x.zip", "data:,x"])
def test_redirects_to_anything_but_http_are_refused(site, tmp_path, target):
    site.faults = [Fault(status=302, headers={"Location": target})]
    with pytest.raises(DataError, match="not allowed"):
        download([remote(site)], tmp_path)
    assert names(tmp_path) == []


def test_redirects_go_up_to_https_and_never_down():
    def follow(before, after):
        return Redirects().redirect_request(
            urllib.request.Request(before), None, 302, "", {}, after
        )

    assert follow("http://a/x", "https://b/x").full_url == "https://b/x"
    assert follow("https://a/x", "https://b/x").full_url == "https://b/x"
    with pytest.raises(DataError, match="https://a/x sends on to http://b/x, which is not allowed"):
        follow("https://a/x", "http://b/x")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/x.zip"])
def test_addresses_that_are_not_http_are_refused(tmp_path, url):
    with pytest.raises(DataError, match=f"{url} is no http or https address"):
        download([RemoteFile(url)], tmp_path)


def test_disk_that_is_too_small_is_told_before_anything_is_fetched(site, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=25 * 10**9))
    file = remote(site, size=20 * 10**9, extra_room=10**9)
    with pytest.raises(
        DataError, match=r"a and .*b will need 41\.0 GB, and 25\.0 GB are free on that disk"
    ) as caught:
        download([file], tmp_path / "a", room={tmp_path / "b": 20 * 10**9})
    assert "--source" in caught.value.hint
    assert site.requests == []
    assert not (tmp_path / "a").exists()


def test_what_is_there_already_needs_no_room(site, tmp_path, monkeypatch):
    cut_short(site, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2_000_000))
    download([remote(site, size=len(CONTENT))], tmp_path)
    assert (tmp_path / "x.zip").read_bytes() == CONTENT


class FullDisk(io.FileIO):
    def write(self, block):
        if self.tell() + len(block) > 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(block)


def refuse(path, mode):
    raise PermissionError(errno.EACCES, "Permission denied")


@contextmanager
def parts_opened_by(monkeypatch, open_part):
    plain = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(
            Path,
            "open",
            lambda path, mode="r", **rest: (
                open_part(path, mode) if path.suffix == ".part" else plain(path, mode, **rest)
            ),
        )
        yield


def test_disk_that_fills_up_is_one_line_and_keeps_the_part(site, tmp_path, monkeypatch):
    with (
        parts_opened_by(monkeypatch, FullDisk),
        pytest.raises(DataError, match=r"the disk is full: .*x\.zip\.part") as caught,
    ):
        download([remote(site)], tmp_path)
    assert "goes on where it stopped" in caught.value.hint
    have = (tmp_path / "x.zip.part").stat().st_size
    assert 0 < have <= 1_000_000
    site.requests.clear()
    download([remote(site, checksum=sha256(CONTENT))], tmp_path)
    assert site.sent == len(CONTENT) - have


def test_file_that_cannot_be_written_is_an_error(site, tmp_path, monkeypatch):
    with (
        parts_opened_by(monkeypatch, refuse),
        pytest.raises(DataError, match=r"cannot write .*x\.zip\.part: permission denied"),
    ):
        download([remote(site)], tmp_path)
