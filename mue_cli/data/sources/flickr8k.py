"""Flickr8k: Karpathy's dataset_flickr8k.json beside the photographs, as a folder or an archive."""

from pathlib import Path

from mue_cli.data.problems import Problems
from mue_cli.data.sources.karpathy import read_karpathy
from mue_cli.data.sources.places import Pictures, find_images, require_images
from mue_cli.data.sources.provenance import describe_images, describe_texts
from mue_cli.data.store.image_shards import Progress
from mue_cli.data.store.manifest import Manifest
from mue_cli.data.store.storage import TrainTokenizer, write_prepared
from mue_cli.errors import DataError

SPLIT_FILE = "dataset_flickr8k.json"
IMAGE_NAMES = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset")
LAYOUT = """needed in one folder:
  dataset_flickr8k.json   from
                          https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip
  Flickr8k_Dataset.zip    the photographs (8,091), from
                          https://github.com/jbrownlee/Datasets/releases/tag/Flickr8k;
                          or unpacked as Flicker8k_Dataset/ or images/, or as images.tar
then run: mue prepare flickr8k --source FOLDER"""


def prepare_flickr8k(
    source: Path,
    root: Path,
    train_tokenizer: TrainTokenizer,
    progress: Progress | None = None,
    num_workers: int = 0,
    strict: bool = False,
) -> Manifest:
    """Read Flickr8k from the folder `source` and write it to `root`. Raises DataError when files
    are missing or nothing is left; with `strict`, when more than a tenth of a split is lost.
    """
    split_file = source / SPLIT_FILE
    if not split_file.exists():
        raise DataError(f"{split_file} is missing", hint=LAYOUT)
    paths = find_images(source, IMAGE_NAMES)
    require_images(paths, source, LAYOUT)
    problems = Problems()
    captions = read_karpathy(split_file, problems)
    pictures = Pictures(paths, captions.requests, problems)
    return write_prepared(
        root,
        "flickr8k",
        pictures,
        train_tokenizer,
        captions=captions.rows,
        problems=problems,
        sources={"captions": describe_texts([split_file]), "images": describe_images(paths)},
        notes=pictures.notes,
        progress=progress,
        num_workers=num_workers,
        strict=strict,
    )
