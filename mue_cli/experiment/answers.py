"""The answers to a user's pictures as they come: into a file, onto a page, counted."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mue_cli.data.pictures import Unreadable, read_pictures
from mue_cli.errors import MueError, one_line
from mue_cli.experiment.answer_file import AnswerFile, writing
from mue_cli.experiment.beside import Savings
from mue_cli.experiment.picture_page import PicturePage, page_notes, picture_page
from mue_cli.experiment.pictures import SHOWN
from mue_cli.experiment.predict import PicturePrediction, PictureStream, values
from mue_cli.experiment.progress import Rate
from mue_cli.reports.exit_strip import printable


@dataclass
class Answers:
    """What is asked and how far that is. paths: that are left. file: None where none is written.

    done, failed: of these; saved: pictures whose lines are in the file. changed: pictures whose
    line is older than they are.
    """

    stream: PictureStream
    paths: Sequence[str | Unreadable]
    page: PicturePage | None
    file: AnswerFile | None = None
    changed: Sequence[str] = ()
    done: int = 0
    failed: int = 0
    saved: int = 0
    savings: Savings = field(default_factory=Savings)
    rate: Rate = field(default_factory=lambda: Rate("pictures"))

    @property
    def total(self) -> int:
        return len(self.paths)

    @property
    def begun(self) -> int:
        """Pictures that an earlier run did."""
        return self.file.num_done if self.file else 0

    def failure(self) -> MueError | None:
        """Return what is wrong in the end: unreadable pictures, an earlier run's too."""
        failed = self.failed + (self.file.failed if self.file else 0)
        text = f"{failed} of {self.begun + self.total} pictures could not be read"
        where = f"in `{self.file.path}`" if self.file else "above"
        return MueError(text, f"each is named {where}, with the reason") if failed else None

    def remarks(self) -> Iterator[str]:
        """Yield what is to be known about the question, and about an earlier run's lines."""
        if self.stream.cut:
            yield f"note: {self.stream.cut}"
        if self.file and self.file.cut:
            yield f"the last line of `{self.file.path}` was half written and is done anew"
        if self.file and self.begun:
            yield f"`{self.file.path}` has {self.begun:,} pictures; {self.total:,} are left"
        if self.file and self.changed:
            yield changed_note(self.file.path, self.changed)

    def kept(self) -> str:
        """Return what an interruption leaves."""
        if self.file is None:
            return f"{self.done} of {self.total} pictures were done"
        has = f"`{self.file.path}` has {self.begun + self.saved:,} of {self.begun + self.total:,}"
        return f"{has} pictures; the same command goes on from there"

    def __iter__(self) -> Iterator[PicturePrediction | Unreadable]:
        """Yield every answer in order; its line is in the file by then."""
        thumbnails = self.page.room if self.page else 0
        size = self.stream.experiment.recipe.data.image_size
        pictures = read_pictures(self.paths, size, thumbnails)
        for batch in self.stream.batches(pictures, self.begun):
            if self.file:
                self.file.add([values(result) for result in batch])
                self.saved += len(batch)
            for result in batch:
                yield result
                self._count(result)

    def note(self) -> str:
        """Return how fast it goes."""
        return self.rate.note(self.done)

    def _count(self, result: PicturePrediction | Unreadable) -> None:
        self.done += 1
        if isinstance(result, Unreadable):
            self.failed += 1
            return
        if result.beside:
            self.savings.add(result.text, result.beside)
        if self.page:
            self.page.add(result)


@contextmanager
def answering(
    stream: PictureStream,
    paths: Sequence[str | Unreadable],
    file: Path | None,
    page: Path | None,
    question: Mapping[str, str | None],
) -> Iterator[Answers]:
    """Yield the answers to pictures; on leaving, the page is written, and the file is let go.

    question: what the page says was asked. Raises MueError for a file of other settings.
    """
    if file is None:
        with picture_page(page, stream.title, page_notes(question, len(paths))) as filled:
            yield Answers(stream, paths, filled if page else None)
        return
    with writing(file, stream.columns, stream.settings) as held:
        left = held.left(paths)
        with picture_page(page, stream.title, page_notes(question, len(left))) as filled:
            changed = held.changed(paths)
            yield Answers(stream, left, filled if page else None, held, changed)


def changed_note(file: Path, changed: Sequence[str]) -> str:
    """Return a line about pictures that have changed since they were answered."""
    names = ", ".join(one_line(printable(path), 60) for path in changed[:SHOWN])
    more = ", ..." if len(changed) > SHOWN else ""
    return (
        f"note: {len(changed):,} of these changed, or moved here, since `{file}` was written "
        f"({names}{more}) and keep their lines; to have one done again, remove its line"
    )
