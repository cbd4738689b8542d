"""The lock of a run folder: one procedure writes there at a time, the second comer is told which.

The lock ends with its process, however that ends.
"""

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from filelock import FileLock, Timeout

from mue_cli.errors import MueError
from mue_cli.files import is_alive, is_first_process, sweep, write_text
from mue_cli.schema.json_files import read_json

if TYPE_CHECKING:
    from mue_cli.experiment.experiment import Experiment

P = ParamSpec("P")
T = TypeVar("T")

LOCK = ".lock"
OWNER = ".lock-owner.json"


@dataclass(frozen=True)
class Owner:
    """Who writes in a run folder. doing: the command. process: its number. since: when it began."""

    doing: str
    process: int
    since: str

    def __str__(self) -> str:
        return f"`mue {self.doing}`, process {self.process}, since {self.since}"


@contextmanager
def holding(folder: Path, doing: str) -> Iterator[None]:
    """Hold a run folder, made when it is absent, and remove what dead procedures left unfinished.

    doing: the command, for the second comer. A folder that is made here goes away again when
    nothing is put in it. Of the processes of `torchrun`, the first holds it for all. Raises
    MueError when another procedure holds it.
    """
    if not is_first_process():
        yield
        return
    if (folder / "manifest.json").is_file():
        raise MueError(
            f"`{folder}` holds prepared data, and is no run folder", "name another with --run"
        )
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _taken(folder) from None
    try:
        sweep(folder)
        since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        write_text(folder / OWNER, json.dumps(asdict(Owner(doing, os.getpid(), since))))
        yield
    finally:
        with suppress(OSError):
            (folder / OWNER).unlink(missing_ok=True)
            if is_new and [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
                folder.rmdir()
        lock.release()


def holding_run(
    doing: str,
) -> Callable[
    [Callable[Concatenate["Experiment", P], T]], Callable[Concatenate["Experiment", P], T]
]:
    """Make a procedure hold its experiment's run folder; see `holding`. The processes of `torchrun`
    carry it out together: none begins before the folder is held, none goes on before all are done.
    """

    def decorate(
        procedure: Callable[Concatenate["Experiment", P], T],
    ) -> Callable[Concatenate["Experiment", P], T]:
        @functools.wraps(procedure)
        def held(experiment: "Experiment", /, *args: P.args, **kwargs: P.kwargs) -> T:
            from mue_cli.training.processes import ending_together

            processes = experiment.processes
            with ending_together(processes), holding(experiment.run.folder, doing):
                processes.wait()
                result = procedure(experiment, *args, **kwargs)
                processes.wait()
            return result

        return held

    return decorate


def _taken(folder: Path) -> MueError:
    try:
        owner: Owner | None = read_json(Owner, folder / OWNER, "")
    except MueError:  # just begun, or just ended
        owner = None
    who = str(owner) if owner and is_alive(owner.process) else "another command"
    return MueError(
        f"`{folder}` is being written by {who}", "wait for it, or name another folder with --run"
    )
