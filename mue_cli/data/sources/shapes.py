"""The embedded dataset: scenes of coloured shapes drawn from a seed, with captions and entailment
pairs.
"""

import random
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mue_cli.data.images import encode_png
from mue_cli.data.problems import Fault
from mue_cli.data.rows import SPLITS, CaptionRow, EntailmentRow
from mue_cli.data.sources.scene_text import Slot, captions, deal, fits, hypotheses
from mue_cli.data.sources.scenes import Scene, draw_scene, place, sample_kinds
from mue_cli.data.store.image_shards import Progress
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.partial import require_replaceable
from mue_cli.data.store.storage import TrainTokenizer, write_prepared
from mue_cli.errors import DataError

MAX_PAIRS_PER_SCENE = 6
NUM_EXAMPLES = 4
"""Pictures of test that are also written as files, to be given to `mue predict`."""
MAX_SCENES_TRIED = {"train": 300, "val": 2400, "test": 2400}  # a tenth of all scenes is for val


@dataclass(frozen=True)
class _Drawn:
    """Pictures that are drawn when they are read. scenes: key -> scene."""

    scenes: Mapping[str, Scene]
    seed: int
    image_size: int
    faults: dict[str, Fault] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        return len(self.scenes)

    def read(self, done: Container[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (key, PNG) of what is not in `done`."""
        for key in self.scenes:
            if key not in done:
                yield key, self.png(key)

    def png(self, key: str) -> bytes:
        rng = random.Random(f"{self.seed} {key}")
        return encode_png(draw_scene(self.scenes[key], rng, self.image_size))


def prepare_shapes(
    root: Path,
    train_tokenizer: TrainTokenizer,
    seed: int = 0,
    num_train: int = 6000,
    num_val: int = 400,
    num_test: int = 400,
    image_size: int = 64,
    train_pairs: int = 3,
    pairs: int = 3,
    progress: Progress | None = None,
) -> Manifest:
    """Draw the scenes of all splits and write them to `root`: five captions a scene, entailment
    pairs, and a few pictures of test as files of `examples/`.

    train_pairs: pairs per training scene; pairs: per scene of val and test. No scene of val or test
    is in another split; the same numbers give the same bytes. Raises DataError, before anything is
    drawn, for numbers that make no sense and for a `root` that cannot be replaced.
    """
    num_scenes = dict(zip(SPLITS, (num_train, num_val, num_test), strict=True))
    if min(num_scenes.values()) < 1 or image_size < 16:
        raise DataError(
            "shapes need at least one scene in each split, and images of at least 16 pixels",
            hint="choose larger numbers",
        )
    if not (1 <= train_pairs <= MAX_PAIRS_PER_SCENE and 1 <= pairs <= MAX_PAIRS_PER_SCENE):
        raise DataError(
            f"a scene has 1 to {MAX_PAIRS_PER_SCENE} pairs",
            hint="choose fewer pairs, and more scenes",
        )
    require_replaceable(root)
    scenes: dict[str, Scene] = {}
    caption_rows: dict[str, list[CaptionRow]] = {}
    pair_rows: dict[str, list[EntailmentRow]] = {}
    for split in SPLITS:
        rng = random.Random(f"{seed} {split} text")
        caption_rows[split], pair_rows[split] = [], []
        for number, slots in enumerate(
            deal(num_scenes[split], train_pairs if split == "train" else pairs, rng)
        ):
            image_id = f"{split}-{number:06d}"
            scene, texts = _fitting_scene(slots, split, rng)
            scenes[image_id] = scene
            caption_rows[split].append(CaptionRow(image_id, captions(scene, rng)))
            for index, (slot, text) in enumerate(zip(slots, texts, strict=True)):
                pair_rows[split].append(
                    EntailmentRow(image_id, f"{image_id}#{index}", None, text, slot.label)
                )
    drawn = _Drawn(scenes, seed, image_size)
    manifest = write_prepared(
        root,
        "shapes",
        drawn,
        train_tokenizer,
        captions=caption_rows,
        entailment=pair_rows,
        sources={
            "seed": seed,
            "scenes": num_scenes,
            "image_size": image_size,
            "train_pairs": train_pairs,
            "pairs": pairs,
        },
        progress=progress,
    )
    _write_examples(root / "examples", drawn)
    return manifest


def _write_examples(folder: Path, drawn: _Drawn) -> None:
    folder.mkdir()
    for key in [key for key in drawn.scenes if key.startswith("test-")][:NUM_EXAMPLES]:
        (folder / f"{key}.png").write_bytes(drawn.png(key))


def _fitting_scene(
    slots: tuple[Slot, ...], split: str, rng: random.Random
) -> tuple[Scene, tuple[str, ...]]:
    """Draw texts, then scenes until one belongs to the split and fits them; other texts when none
    seems to.
    """
    while True:
        drawn = hypotheses(slots, rng)
        for _ in range(MAX_SCENES_TRIED[split]):
            kinds = sample_kinds(rng)
            if not fits(kinds, slots, drawn):
                continue
            scene = place(kinds, slots[0].curtain, rng)
            if scene.split == split:
                return scene, tuple(each.text for each in drawn)
