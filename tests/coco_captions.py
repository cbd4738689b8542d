"""Real COCO captions out of pycocoevalcap's own wheel: its SPICE jar carries the 2014 annotation
files. Nothing is fetched.
"""

import functools
import json
import zipfile
from pathlib import Path

import pycocoevalcap.bleu.bleu

Captions = dict[str, list[str]]


@functools.cache
def wheel_captions(num_images: int) -> Captions:
    """Return image -> captions in annotation order, of the `num_images` val2014 images with the
    smallest ids.
    """
    jar = Path(pycocoevalcap.bleu.bleu.__file__).parents[1] / "spice" / "spice-1.0.jar"
    with zipfile.ZipFile(jar) as archive:
        annotations = json.loads(archive.read("coco/annotations/captions_val2014.json"))[
            "annotations"
        ]
    captions: dict[int, list[str]] = {}
    for annotation in sorted(annotations, key=lambda annotation: annotation["id"]):
        captions.setdefault(annotation["image_id"], []).append(annotation["caption"])
    return {str(image): captions[image] for image in sorted(captions)[:num_images]}


def leave_one_out(num_images: int) -> tuple[dict[str, str], Captions]:
    """Return each image's last caption as prediction and the others as references."""
    captions = wheel_captions(num_images)
    return {image: lines[-1] for image, lines in captions.items()}, {
        image: lines[:-1] for image, lines in captions.items()
    }
