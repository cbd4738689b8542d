"""Write the annotation files of the study on photographs (docs/study.md).

From Flickr8k in Karpathy's form and entailment pairs in SNLI-VE's jsonl, whose `image_file` names
the photograph:
- captions/dataset_flickr8k.json: without the training photographs on which entailment is validated
  and tested, since the entailment model starts from the caption model;
- entailment/snli_ve_*.jsonl: to the training pairs come pairs without premise made of captions: one
  of the same photograph is entailed, one of another training photograph is contradicted; as many of
  each.

    python docs/study_data.py dataset_flickr8k.json folder-of-snli_ve OUT
"""

import argparse
import json
import random
from pathlib import Path

PAIRS_PER_PHOTOGRAPH = 3


def main() -> None:
    """Read, write, and say how much."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("karpathy", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    images = json.loads(options.karpathy.read_text(encoding="utf-8"))["images"]
    pairs = {split: read_pairs(options.pairs, split) for split in ("train", "dev", "test")}
    held_out = {pair["image_file"] for split in ("dev", "test") for pair in pairs[split]}
    kept = [
        image
        for image in images
        if not (image["split"] == "train" and image["filename"] in held_out)
    ]
    write(
        options.out / "captions" / "dataset_flickr8k.json",
        json.dumps({"images": kept, "dataset": "flickr8k"}),
    )
    made = caption_pairs(images, {pair["image_file"] for pair in pairs["train"]})
    for split, rows in {**pairs, "train": [*pairs["train"], *made]}.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        write(options.out / "entailment" / f"snli_ve_{split}.jsonl", text)
    print(
        f"{len(images) - len(kept)} photographs left out of caption training, "
        f"{len(made)} caption pairs added"
    )


def read_pairs(folder: Path, split: str) -> list[dict[str, str]]:
    """Return the rows of one jsonl file; the photograph's file name stands for its id."""
    text = (folder / f"snli_ve_{split}.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    return [{**row, "Flickr30K_ID": row["image_file"].rpartition(".")[0]} for row in rows]


def caption_pairs(images: list[dict], photographs: set[str]) -> list[dict[str, str | None]]:
    """Return entailed and contradicted captions of photographs, drawn with a fixed seed."""
    draw = random.Random(0)
    captions = {
        image["filename"]: [sentence["raw"] for sentence in image["sentences"]]
        for image in images
        if image["filename"] in photographs
    }
    names, made = sorted(captions), []
    for name in names:
        for number in range(PAIRS_PER_PHOTOGRAPH):
            other = draw.choice([each for each in names if each != name])
            for label, source in (("entailment", name), ("contradiction", other)):
                made.append(row(name, f"{number}{label[0]}", draw.choice(captions[source]), label))
    return made


def row(photograph: str, number: str, hypothesis: str, label: str) -> dict[str, str | None]:
    """Return one pair in SNLI-VE's form."""
    return {
        "Flickr30K_ID": photograph.rpartition(".")[0],
        "pairID": f"{photograph}#caption{number}",
        "sentence1": None,
        "sentence2": hypothesis,
        "gold_label": label,
        "image_file": photograph,
    }


def write(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
