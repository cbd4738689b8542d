"""Progress of an experiment's procedures as bars, one after the other."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

from mue_cli.commands.display import progress, say


class Tell(Protocol):
    """See mue_cli/experiment/progress.py."""

    def __call__(self, label: str, done: int, total: int, note: str = "") -> None: ...


@contextmanager
def bars() -> Iterator[Tell]:
    """Yield what a procedure tells its progress: each new label ends the bar before and begins its
    own, a total of 0 is a line of talk, said once.
    """
    with ExitStack() as stack:
        shown: dict[str, object] = {}
        said: set[str] = set()

        def tell(label: str, done: int, total: int, note: str = "") -> None:
            if total <= 0:
                if note not in said:
                    say(note)
                said.add(note)
                return
            if label not in shown:
                stack.close()
                shown.clear()
                shown[label] = stack.enter_context(progress(label))
            report = shown[label]
            assert callable(report)
            report(done, total, note)

        yield tell
