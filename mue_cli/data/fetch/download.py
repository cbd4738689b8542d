"""Files over HTTP: several at once, resumed where they stopped, checked, and under their own name
only when whole.

What has come of `x.zip` lies in `x.zip.part`; `x.zip.part.json` holds the validator (ETag or
Last-Modified) and the length of the file that the server had, so that the halves of two different
files are never joined.
"""

import hashlib
import json
import queue
import random
import re
import threading
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from ssl import SSLCertVerificationError
from urllib.error import HTTPError, URLError

from mue_cli import __version__
from mue_cli.data.disk import AGAIN, require_room, writing
from mue_cli.data.fetch.addresses import RemoteFile
from mue_cli.data.fetch.http import opener, require_address, retry_after, validator_of
from mue_cli.errors import DataError
from mue_cli.files import write_text

CHUNK_BYTES = 2**18
TIMEOUT_S = 60.0
ATTEMPTS = 8  # in a row that bring no new byte
MAX_BACKOFF_S = 60.0
MAX_RETRY_AFTER_S = 600.0
MAX_BYTES = 4 * 2**30  # of a file whose size is not published
RETRIED = (408, 425, 429)  # and 500 to 599

Report = Callable[[int, int, str], None]
"""report(megabytes done, megabytes in all, remark beside it)"""


def download(
    files: Sequence[RemoteFile],
    folder: Path,
    report: Report | None = None,
    room: Mapping[Path, int] | None = None,
) -> None:
    """Fetch what is not in `folder` yet, one thread a file.

    room: bytes that must be free elsewhere, for what is done with the files later. Nothing is asked
    of the net when nothing is missing. Raises DataError when the disk is too small, a server
    refuses or keeps failing, or a file is not what is published. Whatever ends it early, Ctrl-C
    included, what has come is kept and the next call goes on from there; only a file that fails its
    check is removed.
    """
    missing = [file for file in files if not is_finished(file, folder)]
    if not missing:
        return
    stop = threading.Event()
    transfers = [_Transfer(file, folder, stop) for file in missing]
    required = sum(
        max((file.size or 0) - transfer.have, 0) + file.extra_room
        for file, transfer in zip(missing, transfers, strict=True)
    )
    require_room({folder: required, **(room or {})})
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _run_all(transfers, stop, report or (lambda done, total, note: None))


def is_finished(file: RemoteFile, folder: Path) -> bool:
    """Tell whether the file is there. Raises DataError when something else has its name."""
    path = folder / file.name
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path} is a link to nowhere", hint="remove it, or mend what it leads to")
    if not path.exists():
        return False
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        raise DataError(
            f"{path} has {size:,} bytes, expected {file.size:,}",
            hint="move it away, and it is fetched again",
        )
    return True


def pause(stop: threading.Event, seconds: float) -> None:
    """Wait before another attempt, unless all is to stop."""
    stop.wait(seconds)


class _TryAgainError(Exception):
    """A fault that may pass. wait: seconds the server asked for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait = reason, wait


class _Transfer:
    """One file on its way. have and total: bytes; note: what it waits for. Written by its thread,
    read by the one that reports.
    """

    def __init__(self, file: RemoteFile, folder: Path, stop: threading.Event) -> None:
        self.file, self.stop = file, stop
        self.path = folder / file.name
        self.part, self.meta = (
            folder / f"{file.name}{suffix}" for suffix in (".part", ".part.json")
        )
        self.validator, length = self._read_meta()
        self.have = self.part.stat().st_size if self.validator and self.part.is_file() else 0
        self.total = file.size or length
        self.note = ""

    def run(self) -> None:
        """Fetch the file, with as many attempts as it takes while each brings something."""
        failures, farthest = 0, self.have
        while not self.stop.is_set():
            try:
                if not self.total or self.have != self.total:
                    self._attempt()
                if not self.stop.is_set():
                    self._finish()
                return
            except _TryAgainError as fault:
                failures, farthest = (
                    (0, self.have) if self.have > farthest else (failures + 1, farthest)
                )
                if failures >= ATTEMPTS:
                    raise DataError(
                        f"gave up on {self.file.url} after {ATTEMPTS} attempts: {fault.reason}",
                        hint=AGAIN,
                    ) from fault
                backoff = min(MAX_BACKOFF_S, 2.0**failures) * random.uniform(0.5, 1)
                seconds = max(backoff, min(fault.wait, MAX_RETRY_AFTER_S))
                self.note = f"{self.file.name}: {fault.reason}, again in {seconds:.0f} s"
                pause(self.stop, seconds)
                self.note = ""

    def _attempt(self) -> None:
        """Ask for what is missing and write what comes."""
        try:
            with self._open() as response:
                self._start(response)
                self._copy(response)
        except HTTPError as error:
            self._explain(error)
        except (URLError, OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, URLError) else error
            if isinstance(reason, SSLCertVerificationError):
                raise DataError(
                    f"{self.file.url} has no valid certificate: {reason.verify_message}",
                    hint=_elsewhere(self.path),
                ) from error
            raise _TryAgainError(
                "connection broken"
                if isinstance(reason, IncompleteRead)
                else str(reason) or type(reason).__name__
            ) from error
        if self.total is not None and self.have < self.total and not self.stop.is_set():
            raise _TryAgainError(
                f"the connection ended after {self.have:,} of {self.total:,} bytes"
            )

    def _open(self) -> HTTPResponse:
        require_address(self.file.url)
        headers = {"User-Agent": f"mue/{__version__}", "Accept-Encoding": "identity"}
        if self.have and self.validator:
            headers |= {"Range": f"bytes={self.have}-", "If-Range": self.validator}
        return opener().open(
            urllib.request.Request(self.file.url, headers=headers), timeout=TIMEOUT_S
        )

    def _start(self, response: HTTPResponse) -> None:
        """Read the head of the answer: where the body belongs, and whether it is this file."""
        validator = validator_of(response)
        if response.status == 206:
            came = re.fullmatch(
                r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", response.headers.get("Content-Range", "")
            )
            if (
                came is None
                or int(came[1]) != self.have
                or (validator and validator != self.validator)
            ):
                self._discard()
                raise _TryAgainError("the file has changed on the server; starting over")
            length = None if came[2] == "*" else int(came[2])
        else:
            self._discard()  # a new file, or a server that knows no ranges
            length = response.length
        self._check_length(length)
        self.total, self.validator = self.file.size or length, validator
        if response.status != 206 and validator:
            with writing(self.part):
                write_text(self.meta, json.dumps({"validator": validator, "length": length}))

    def _check_length(self, length: int | None) -> None:
        expected = self.file.size
        if (
            length is not None
            and length != expected
            and (expected is not None or length > MAX_BYTES)
        ):
            self._discard()
            limit = f"{expected:,}" if expected is not None else f"{MAX_BYTES:,} at most"
            raise DataError(
                f"{self.file.url} has {length:,} bytes, expected {limit}",
                hint=_elsewhere(self.path),
            )

    def _copy(self, response: HTTPResponse) -> None:
        with writing(self.part):
            out = self.part.open("ab", buffering=0)
        with out:
            while not self.stop.is_set() and (block := memoryview(response.read1(CHUNK_BYTES))):
                if self.have + len(block) > (self.total or MAX_BYTES):
                    self._discard()
                    raise DataError(
                        f"{self.file.url} sends more than the"
                        f" {self.total or MAX_BYTES:,} bytes expected",
                        hint=_elsewhere(self.path),
                    )
                while block:
                    with writing(self.part):
                        written = out.write(block)
                    self.have += written
                    block = block[written:]

    def _explain(self, error: HTTPError) -> None:
        """Raise what an answer that is no file means: wait and try again, or give up."""
        answer = f"{error.code} {error.reason}"
        if error.code == 416:
            self._discard()
            raise _TryAgainError("the file has changed on the server; starting over") from error
        if error.code in RETRIED or error.code >= 500:
            raise _TryAgainError(answer, retry_after(error.headers.get("Retry-After"))) from error
        raise DataError(f"{self.file.url} answers {answer}", hint=_elsewhere(self.path)) from error

    def _finish(self) -> None:
        """Check the whole file and give it its name."""
        expected, actual = self.file.checksum, None
        if expected is not None:
            self.note = f"checking {self.file.name}"
            actual = _checksum(self.part, expected.partition(":")[0])
            self.note = ""
        if actual != expected:
            self._discard()
            raise DataError(
                f"{self.file.url} has {actual}, expected {expected}; what came was removed",
                hint=_elsewhere(self.path),
            )
        with writing(self.path):
            self.part.replace(self.path)
            self.meta.unlink(missing_ok=True)

    def _discard(self) -> None:
        self.have = 0
        for path in (self.part, self.meta):
            path.unlink(missing_ok=True)

    def _read_meta(self) -> tuple[str | None, int | None]:
        try:
            content = json.loads(self.meta.read_text(encoding="utf-8"))
            validator, length = content["validator"], content["length"]
        except (OSError, ValueError, KeyError, TypeError):
            return None, None
        if not isinstance(validator, str):
            return None, None
        return validator, length if isinstance(length, int) else None


def _run_all(transfers: Sequence[_Transfer], stop: threading.Event, report: Report) -> None:
    """Run each transfer in a thread; the first that fails stops the others."""
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run(transfer: _Transfer) -> None:
        try:
            transfer.run()
        except BaseException as error:
            ended.put(error)
        else:
            ended.put(None)

    # Daemons: a thread that waits for a silent server must not hold up the end of the program.
    threads = [
        threading.Thread(target=run, args=(transfer,), daemon=True) for transfer in transfers
    ]
    try:
        for thread in threads:
            thread.start()
        left, reported = len(threads), None
        while left:
            if (state := _state(transfers)) != reported:
                report(*state)
                reported = state
            try:
                error = ended.get(timeout=0.2)
            except queue.Empty:
                continue
            if error is not None:
                raise error
            left -= 1
        report(*_state(transfers))
    finally:
        stop.set()
        for thread in threads:
            if thread.is_alive():
                thread.join(timeout=2)


def _state(transfers: Sequence[_Transfer]) -> tuple[int, int, str]:
    """Return megabytes done and in all, and the notes of transfers that wait."""
    done, total = (
        sum(numbers)
        for numbers in zip(*((t.have, max(t.total or 0, t.have)) for t in transfers), strict=True)
    )
    return (
        -(-done // 10**6),
        -(-total // 10**6),
        "; ".join(["MB", *(transfer.note for transfer in transfers if transfer.note)]),
    )


def _checksum(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _elsewhere(path: Path) -> str:
    return f"name a place that has the file with --mirror, or put it at {path} yourself"
