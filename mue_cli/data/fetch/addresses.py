"""Where the data sets lie, with the size and checksum of each file where they are published. The
only place with addresses to fetch.

Sizes and SHA-256 of COCO and SNLI: the checksum lists of TensorFlow Datasets
(url_checksums/coco.txt, snli.txt).
"""

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType


@dataclass(frozen=True)
class RemoteFile:
    """A file and what is published about it.

    checksum: "sha256:..." or another name that hashlib knows. members: name in the archive -> path
    in the folder, for what is unpacked. images: names under which a folder or archive has the same
    images, when it is an archive of images.
    extra_room: bytes on the disk beside `size`: what is unpacked, or about the size of a file whose
    size is not published.
    """

    url: str
    size: int | None = None
    checksum: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    extra_room: int = 0

    @property
    def name(self) -> str:
        return urllib.parse.unquote(self.url.rpartition("/")[2])

    def on(self, mirror: str | None) -> "RemoteFile":
        """Return the file at another place: a folder on the web that has it under the same name."""
        return (
            replace(self, url=f"{mirror.rstrip('/')}/{urllib.parse.quote(self.name)}")
            if mirror
            else self
        )


COCO_IMAGES = (
    RemoteFile(
        "http://images.cocodataset.org/zips/train2014.zip",
        size=13_510_573_713,
        checksum="sha256:ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
        images=("train2014",),
    ),
    RemoteFile(
        "http://images.cocodataset.org/zips/val2014.zip",
        size=6_645_013_297,
        checksum="sha256:fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
        images=("val2014",),
    ),
)
COCO_CAPTIONS = RemoteFile(
    "http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
    size=252_872_794,
    checksum="sha256:031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
    members={
        f"annotations/captions_{part}2014.json": f"annotations/captions_{part}2014.json"
        for part in ("train", "val")
    },
    extra_room=100 * 10**6,
)
KARPATHY = RemoteFile(
    "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip",
    extra_room=200 * 10**6,
)
FLICKR8K_IMAGES = RemoteFile(
    "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_Dataset.zip",
    images=("Flickr8k_Dataset", "Flicker8k_Dataset", "images", "Images"),
    extra_room=1200 * 10**6,
)
SNLI = RemoteFile(
    "https://nlp.stanford.edu/projects/snli/snli_1.0.zip",
    size=94_550_081,
    checksum="sha256:afb3d70a5af5d8de0d9d81e2637e0fb8c22d1235c2749d83125ca43dab0dbd3e",
    extra_room=200 * 10**6,  # the jsonl files made of it
)
# Commits, not branches: their content cannot change.
FLICKR30K_TRAIN_VAL = RemoteFile(
    "https://raw.githubusercontent.com/necla-ml/SNLI-VE/dcfc8933cae343476cc8a8fc1955dd68a6ea35da/flickr30k_train_val.lst"
)
FLICKR30K_TEST = RemoteFile(
    "https://raw.githubusercontent.com/necla-ml/SNLI-VE/acfbd9dd48bc7321bb04e26b2c643bb5dd3d1888/data/flickr30k_test.lst"
)
FLICKR30K_FORM = "https://shannon.cs.illinois.edu/DenotationGraph/"

DATASETS: Mapping[str, tuple[RemoteFile, ...]] = MappingProxyType(
    {
        "coco": (
            COCO_CAPTIONS,
            replace(KARPATHY, members={"dataset_coco.json": "dataset_coco.json"}),
            *COCO_IMAGES,
        ),
        "flickr8k": (
            replace(KARPATHY, members={"dataset_flickr8k.json": "dataset_flickr8k.json"}),
            FLICKR8K_IMAGES,
        ),
        "snli-ve": (SNLI, FLICKR30K_TRAIN_VAL, FLICKR30K_TEST),
    }
)
