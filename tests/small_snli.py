"""An SNLI 1.0 of a few pairs, and the split lists of Flickr30k to go with it."""

import json

from prepared_data import write_zip


def pair(pair_id, label="neutral", **fields):
    return {
        "pairID": pair_id,
        "captionID": pair_id[:-3],
        "gold_label": label,
        "sentence1": "P",
        "sentence2": "H",
        "parse": "x",
    } | fields


def write_snli(path, train, dev=(), test=()):
    parts = {"train": train, "dev": dev, "test": test}
    lines = {
        f"snli_1.0/snli_1.0_{part}.jsonl": "".join(json.dumps(pair) + "\n" for pair in pairs)
        for part, pairs in parts.items()
    }
    return write_zip(
        path, {name: text.encode() for name, text in lines.items()} | {"__MACOSX/._x": b""}
    )


def write_lists(folder):
    """The first list: 1000 photographs are dev, those before them train."""
    (folder / "train_val.lst").write_text(
        "\n".join(["11", "12", "21", *map(str, range(1000, 1999))])
    )
    (folder / "test.lst").write_text("31\n32\n")
    return folder / "train_val.lst", folder / "test.lst"
