"""Images per second and peak memory of `mue prepare coco`, for a small and a large set; then kill
-9, and whether what goes on is equal.

    python tests/benchmarks/prepare_scale.py [FOLDER] [--images 12000 120000] [--num-workers 4]

The sets are synthetic: JPEGs of 32 x 32 pixels, no two with the same bytes, in train2014.zip; five
captions each in captions_train2014.json, in the official layout. Needs 1 GB of disk in FOLDER
(default: a temporary folder) for 120,000 images, and a few minutes.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset
from PIL import Image

from mue_cli.data.store.partial import count_kept
from mue_cli.data.store.prepared import PreparedData
from mue_cli.data.tasks import CAPTION

BODIES = 300
CAPTIONS = 5
WORDS = (
    "the man",
    "a woman",
    "dog",
    "cat",
    "street",
    "kitchen",
    "red",
    "green",
    "large",
    "small",
    "stands",
    "holding",
    "riding",
    "near",
    "bus",
)
PROGRAM = """
import atexit, os, pathlib

def tell():  # what the kernel tells a parent counts that parent's own memory, from before this program was started
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    pathlib.Path(os.environ["PEAK_FILE"]).write_text(line.split()[1])

atexit.register(tell)
from mue_cli.__main__ import main
main()
"""


@dataclass(frozen=True)
class Measured:
    seconds: float
    peak_mib: float


def make_source(folder: Path, num_images: int) -> Path:
    """Write the photographs and captions of a set; ids are as far apart as COCO's, captions in no
    order.
    """
    folder.mkdir()
    rng = random.Random(num_images)
    image_ids = sorted(rng.sample(range(1, 600_000), num_images))
    bodies = [_jpeg(rng) for _ in range(BODIES)]
    with zipfile.ZipFile(folder / "train2014.zip", "w") as archive:
        for number, image_id in enumerate(image_ids):
            comment = b"\xff\xfe\0\x0a" + f"{image_id:08d}".encode()  # makes the bytes distinct
            body = bodies[number % BODIES]
            archive.writestr(
                f"train2014/COCO_train2014_{image_id:012d}.jpg", body[:2] + comment + body[2:]
            )
    annotations = [
        {
            "image_id": image_id,
            "id": image_id * CAPTIONS + number,
            "caption": f"{' '.join(rng.choices(WORDS, k=10)).capitalize()}.",
        }
        for image_id in image_ids
        for number in range(CAPTIONS)
    ]
    rng.shuffle(annotations)
    images = [
        {
            "license": 5,
            "file_name": f"COCO_train2014_{image_id:012d}.jpg",
            "height": 32,
            "id": image_id,
        }
        for image_id in image_ids
    ]
    (folder / "captions_train2014.json").write_text(
        json.dumps({"info": {}, "images": images, "licenses": [], "annotations": annotations})
    )
    return folder


def _jpeg(rng: random.Random) -> bytes:
    path = Path(tempfile.gettempdir()) / f"body-{os.getpid()}.jpg"
    Image.frombytes("RGB", (8, 8), rng.randbytes(192)).resize((32, 32)).save(path)
    data = path.read_bytes()
    path.unlink()
    return data


def command(source: Path, out: Path, num_workers: int) -> list[str]:
    words = ("prepare", "coco", "--source", source, "--out", out, "--num-workers", num_workers)
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def run_whole(source: Path, out: Path, num_workers: int) -> Measured:
    """Prepare in a child, which tells its peak memory (Linux)."""
    start = time.perf_counter()
    subprocess.run(command(source, out, num_workers), check=True, stdout=subprocess.DEVNULL)
    return Measured(
        time.perf_counter() - start, int(Path(os.environ["PEAK_FILE"]).read_text()) / 1024
    )


def run_killed(
    source: Path, out: Path, num_workers: int, num_images: int, kills: int, rng: random.Random
) -> list[int]:
    """Prepare, killed with SIGKILL when some share of the images more is kept, then to the end;
    return how many images each left.
    """
    kept = []
    for number in range(kills):
        child = subprocess.Popen(
            command(source, out, num_workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        goal = num_images * (number + rng.random()) / kills * 0.9
        while child.poll() is None and count_kept(out) < goal:
            time.sleep(0.02)
        time.sleep(rng.random() * 0.3)
        child.send_signal(signal.SIGKILL)
        child.wait()
        kept.append(count_kept(out))
        if out.exists():
            raise SystemExit("the run was over before it was killed: more images, please")
    subprocess.run(command(source, out, num_workers), check=True, stdout=subprocess.DEVNULL)
    return kept


def contents(root: Path) -> dict[str, bytes]:
    files = {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    files["manifest.json"] = re.sub(rb'"prepared": "[^"]+"', b"", files["manifest.json"])
    return files


def check_rows(root: Path, num_images: int) -> None:
    """Exit when a row is lost or doubled, or points to another picture."""
    data = PreparedData.open(root)
    counts = data.manifest.counts[CAPTION.name].values()
    found = tuple(sum(split[what] for split in counts) for what in ("images", "captions"))
    stored = [
        image_id
        for path in sorted((root / "images").iterdir())
        for image_id in Dataset.from_file(str(path))["image_id"]
    ]
    pointed: set[int] = set()
    for split in data.splits(CAPTION):
        table = Dataset.from_file(str(root / CAPTION.name / split / "data.arrow"))
        rows = list(zip(table["image"], table["image_id"], strict=True))
        pointed.update(row for row, image_id in rows if stored[row] == image_id)
    if (
        found != (num_images, num_images * CAPTIONS)
        or len(set(stored)) != num_images
        or len(pointed) != num_images
    ):
        raise SystemExit(
            f"expected {num_images} images, found {found}, {len(set(stored))} pictures, {len(pointed)} of them pointed to"
        )


def time_reading(root: Path) -> str:
    """Return how long it takes to open the data and to look at pictures all over it."""
    start = time.perf_counter()
    examples = PreparedData.open(root).examples(CAPTION, "train", per_caption=True)
    opened = time.perf_counter()
    for number in range(0, len(examples), len(examples) // 1000):
        examples[number]
    return f"opened in {1000 * (opened - start):.0f} ms, {1000 * (time.perf_counter() - opened) / 1000:.2f} ms an example"


def measure(folder: Path, num_images: int, num_workers: int) -> Measured:
    source, whole, resumed = (
        make_source(folder / f"coco-{num_images}", num_images),
        folder / f"w{num_images}",
        folder / f"r{num_images}",
    )
    found = run_whole(source, whole, num_workers)
    print(
        f"{num_images:7,} images  {found.seconds:6.1f} s  {num_images / found.seconds:6.0f} images/s  peak {found.peak_mib:5.0f} MiB",
        flush=True,
    )
    check_rows(whole, num_images)
    print(f"        every row there once; {time_reading(whole)}", flush=True)
    kept = run_killed(source, resumed, num_workers, num_images, 3, random.Random(0))
    equal = contents(whole) == contents(resumed)
    print(
        f"        killed when {', '.join(f'{count:,}' for count in kept)} images were kept; data {'equal' if equal else 'DIFFER'}",
        flush=True,
    )
    if not equal:
        raise SystemExit(1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--images", nargs="+", type=int, default=[12_000, 120_000])
    parser.add_argument("--num-workers", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        os.environ["PEAK_FILE"] = str(Path(name) / "peak")
        found = [measure(Path(name), count, arguments.num_workers) for count in arguments.images]
    if len(found) > 1:
        more = arguments.images[-1] - arguments.images[0]
        print(
            f"{(found[-1].peak_mib - found[0].peak_mib) * 2**20 / more:.0f} bytes of memory for each image more"
        )


if __name__ == "__main__":
    main()
