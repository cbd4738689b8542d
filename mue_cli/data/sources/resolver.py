"""From what an annotation says to the one file that it means.

A row names its picture by a path, or only by an id. The files are listed once, as a stream; of each
row the best fit is kept, and whether another fits as well:

    1  the same path: exactly, then after Unicode normalisation and with any slashes, then in any
       case; it may begin with the source's own name
    2  one path is the end of the other: the more parts agree, the better
    3  the name alone, though the folders differ

Several files that fit equally well are a fault, never the first of them. So are rows that name
different pictures and end at one file. What a row names above the file ("/home/me/data") counts:
where the folders of some rows are there, those of the others must begin with the same.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mue_cli.data.problems import NO_FILE, SEVERAL_FILES, Fault
from mue_cli.data.sources.names import base_of, folded, is_picture_name, normal, tidy

IdsOf = Callable[[str], Iterable[str]]
"""ids_of(base name of a file): the ids that it may stand for, the likeliest first."""

_FORMS = (tidy, normal, folded)
_PARTS = 300  # of a path, at most
_STEP = len(_FORMS) + 1  # a name in another encoding counts as one form worse
_END = 10  # ranks: below it the same path, from here on the end of a path
_BARE = _END + _STEP * (_PARTS + 1)
_NONE = _BARE + _STEP
_EXAMPLES = 4


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of a source. number: its place there, which a link to it shares. path: with forward
    slashes, from the source's root on. reread: the name's bytes were read in another encoding.
    size: in bytes, -1 where it is asked for only when it is needed.
    """

    number: int
    path: str
    reread: bool = False
    size: int = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies. source: number of the source. size: as of what was listed there."""

    source: int
    number: int
    path: str
    size: int = -1


IsSame = Callable[[Place, Place], bool]
"""Tell whether two places hold one file: links in a folder, an archive beside its unpacked form."""


@dataclass
class Resolved:
    """The files of rows. files: for each source, number of a file -> keys of images. faults: key ->
    why it has no file.

    num_untaken: files named like pictures that no row takes. num_bare: images of rows whose folders
    are not there, taken by name alone.
    """

    files: list[dict[int, tuple[str, ...]]]
    faults: dict[str, Fault] = field(default_factory=dict)
    num_untaken: int = 0
    num_bare: int = 0

    @property
    def num_images(self) -> int:
        return sum(len(keys) for files in self.files for keys in files.values())


class Requests:
    """What rows ask for: key of an image -> a path, or an id where nothing else is said."""

    def __init__(self, ids_of: IdsOf | None = None) -> None:
        self.ids_of = ids_of
        self.keys: list[str] = []
        self.names: list[str] = []
        self._by_base: dict[str, int | list[int]] = {}
        self._by_id: dict[str, int] = {}

    def add_path(self, key: str, path: str) -> None:
        """Ask for a path; once for each key."""
        number, base = self._add(key, path), folded(base_of(path))
        before = self._by_base.setdefault(path if base == path else base, number)
        if isinstance(before, list):
            before.append(number)
        elif before != number:
            self._by_base[base] = [before, number]

    def add_id(self, key: str, image_id: str) -> None:
        """Ask for the file with this id in its name, as `ids_of` reads it; once for each key."""
        self._by_id[image_id] = self._add(key, image_id)

    def ranked(self, file: Listed, root: str) -> Iterator[tuple[int, int]]:
        """Yield (request, rank) of what a file may be meant by."""
        base = base_of(file.path)
        numbers = self._by_base.get(folded(base), ())
        for number in (numbers,) if isinstance(numbers, int) else numbers:
            yield number, rank(self.names[number], file.path, root) + file.reread
        if self._by_id and self.ids_of is not None and is_picture_name(base):
            for likelihood, image_id in enumerate(self.ids_of(base)):
                if image_id in self._by_id:
                    yield self._by_id[image_id], likelihood

    def _add(self, key: str, name: str) -> int:
        self.keys.append(key)
        self.names.append(name)
        return len(self.keys) - 1


class Resolver:
    """The best fit of each request, of the files listed so far."""

    def __init__(self, requests: Requests, is_same: IsSame) -> None:
        self._requests = requests
        self._is_same = is_same
        count = len(requests.keys)
        self._ranks = array("l", [_NONE]) * count
        self._sources = array("h", [0]) * count
        self._files = array("q", [0]) * count
        self._sizes = array("q", [-1]) * count
        self._paths = [""] * count
        self._rivals: defaultdict[int, list[Place]] = defaultdict(list)
        self._lost: dict[int, str] = {}
        self._num_pictures = 0
        self._roots: list[str] = []
        self._names: list[str] = []

    def take(self, listed: Iterable[Listed], root: str, name: str) -> None:
        """Compare the files of the next source with what is asked for. root: what rows call it."""
        source = len(self._roots)
        self._roots.append(root)
        self._names.append(name)
        last = -1
        for file in listed:
            if file.number > last:  # links and other spellings repeat a number
                last = file.number
                self._num_pictures += is_picture_name(file.path)
            for number, fit in self._requests.ranked(file, root):
                if fit <= self._ranks[number]:
                    self._offer(number, fit, Place(source, file.number, file.path, file.size))

    def result(self) -> Resolved:
        """Decide; every file was listed."""
        self._drop_other_tops()
        self._part_shared_files()
        resolved = Resolved([{} for _ in self._roots])
        for number, key in enumerate(self._requests.keys):
            fault = self._fault(number)
            if fault is not None:
                resolved.faults[key] = fault
                continue
            files = resolved.files[self._sources[number]]
            files[self._files[number]] = (*files.get(self._files[number], ()), key)
            resolved.num_bare += self._ranks[number] >= _BARE
        num_taken = sum(map(len, resolved.files))
        resolved.num_untaken = max(self._num_pictures - num_taken, 0)
        return resolved

    def _offer(self, number: int, fit: int, place: Place) -> None:
        if fit < self._ranks[number]:
            self._ranks[number], self._sources[number] = fit, place.source
            self._files[number], self._paths[number] = place.number, place.path
            self._sizes[number] = place.size
            self._rivals.pop(number, None)
        elif fit < _NONE:
            before = self._place(number)
            is_one = (before.source, before.number) == (place.source, place.number)
            if not is_one and not self._is_same(before, place):
                self._rivals[number].append(place)

    def _fault(self, number: int) -> Fault | None:
        name = self._requests.names[number]
        if number in self._lost:
            return Fault(NO_FILE, f"{name} ({self._lost[number]})")
        if self._ranks[number] == _NONE:
            return Fault(NO_FILE, name)
        if number in self._rivals:
            places = [self._place(number), *self._rivals[number]][:_EXAMPLES]
            return Fault(SEVERAL_FILES, f"{name}: {', '.join(map(self._shown, places))}")
        return None

    def _shown(self, place: Place) -> str:
        """Return a place in words: beside other sources, with the name of its own."""
        root = self._roots[place.source]
        if self._roots.count(root) > 1:
            return f"{self._names[place.source]}/{place.path}"
        plain = len(self._roots) == 1 or place.path.removeprefix("./").startswith(f"{root}/")
        return place.path if plain else f"{root}/{place.path}"

    def _place(self, number: int) -> Place:
        return Place(
            self._sources[number], self._files[number], self._paths[number], self._sizes[number]
        )

    def _drop_other_tops(self) -> None:
        """Drop fits whose row begins with folders that no better fit begins with: a file of that
        name elsewhere is another picture.
        """
        names, exact, partly = self._requests.names, False, set[str]()
        for fit, name in zip(self._ranks, names, strict=True):
            if fit < _BARE and _parts_of(fit, name) > 1:
                exact = exact or fit < _END
                partly.add(_top(fit, name))
        if not partly:
            return
        tops = {""} if exact else {"", *partly}
        for number, (fit, name) in enumerate(zip(self._ranks, names, strict=True)):
            if _BARE <= fit < _NONE or (fit < _NONE and _top(fit, name) not in tops):
                self._ranks[number] = _NONE

    def _part_shared_files(self) -> None:
        """Leave a file to the row that fits it best; to none, where different rows fit equally."""
        takers: dict[tuple[int, int], int | list[int]] = {}
        for number, fit in enumerate(self._ranks):
            if fit < _NONE and number not in self._rivals:
                place = self._sources[number], self._files[number]
                others = takers.get(place, [])
                others = [others] if isinstance(others, int) else others
                takers[place] = [*others, number] if others else number
        for numbers in takers.values():
            if isinstance(numbers, list):
                self._part(numbers)

    def _part(self, numbers: list[int]) -> None:
        best = min(self._ranks[number] for number in numbers)
        winners = [number for number in numbers if self._ranks[number] == best]
        names = {normal(self._requests.names[number]) for number in winners}
        if best > 1 and len(names) > 1:
            winners = []
        for number in numbers:
            if number not in winners:
                path = self._paths[number]
                self._lost[number] = f"{path} is there, which another row names"


def rank(wanted: str, path: str, root: str) -> int:
    """Return how well a file fits the path that a row asks for, the lower the better; _NONE when
    even the names differ. root: name of the source, which may stand before `path`.
    """
    if wanted == path:
        return 0
    if path.endswith(f"/{wanted}") and wanted.count("/") == 0 and "\\" not in wanted:
        return _rank_of_end(1)
    return min(
        _rank_of_form(spell(wanted), spell(path), spell(root)) + number
        for number, spell in enumerate(_FORMS)
    )


def _rank_of_form(name: str, path: str, root: str) -> int:
    wanted, have = name.split("/"), path.split("/")
    parts = _common_end(wanted, [root, *have])
    if parts == 0:
        return _NONE
    if parts == len(wanted) and parts >= len(have):
        return 0
    if parts == len(wanted) or parts >= len(have):
        return _rank_of_end(parts)
    return _BARE


def _common_end(left: list[str], right: list[str]) -> int:
    count = 0
    for one, other in zip(reversed(left), reversed(right), strict=False):
        if one != other:
            break
        count += 1
    return count


def _rank_of_end(parts: int) -> int:
    return _END + _STEP * (_PARTS - min(parts, _PARTS))


def _parts_of(fit: int, name: str) -> int:
    """Return how many parts of a row's path agree with the file's at this rank."""
    if fit < _END:
        return normal(name).count("/") + 1
    return 1 if fit >= _BARE else _PARTS - (fit - _END) // _STEP


def _top(fit: int, name: str) -> str:
    """Return what a row's path has above the parts that agree."""
    if fit < _END or "/" not in (path := normal(name)):
        return ""
    parts = path.split("/")
    return "/".join(parts[: len(parts) - _parts_of(fit, name)])
