"""Bad sources: what `mue prepare` is given to read."""

from collections.abc import Iterator

from bad_world import Bad
from damage import DEEP, sources

PREPARE = "prepare {} --source source --out out"
PAIR = '{"Flickr30K_ID": "1", "pairID": "1#0", "sentence1": "A.", "sentence2": "B.", "gold_label": "neutral"}'


def sources_to_prepare() -> Iterator[Bad]:
    kind = "Sources to prepare"
    coco, karpathy = "captions_val2017.json", "dataset_flickr8k.json"
    for what, text in {
        "empty": "",
        "a list": "[]",
        "cut": '{"images": [{"id": 1, "file_name": "good',
        "nested 100,000 deep": DEEP,
        "not UTF-8": '{"info": "caf\xe9"}'.encode("latin-1"),
        "a list twice": '{"images": [], "images": []}',
        "UTF-16 without its mark": '{"images": []}'.encode("utf-16-le"),
    }.items():
        yield Bad(kind, f"COCO captions: {what}", PREPARE.format("coco"), sources(text, coco))
        yield Bad(
            kind, f"Karpathy's file: {what}", PREPARE.format("flickr8k"), sources(text, karpathy)
        )
    for what, names in {
        "COCO boxes alone": ["instances_val2017.json"],
        "OFA's captions beside Karpathy's": ["caption_val.tsv", "dataset_coco.json"],
        "OFA's captions with a stage and without": ["caption_stage2_val.tsv", "caption_val.tsv"],
    }.items():
        yield Bad(kind, what, PREPARE.format("coco"), sources("{}", *names))
    yield Bad(
        kind,
        "SNLI-VE: OFA's pairs beside the official ones",
        PREPARE.format("snli-ve"),
        sources(PAIR, "snli_ve_train.tsv", "snli_ve_train.jsonl"),
    )
    parts = [f"snli_ve_{part}.jsonl" for part in ("train", "dev", "test")]
    text = f"{PAIR}\n{PAIR}caf\xe9\n".encode("latin-1")
    yield Bad(kind, "SNLI-VE: not UTF-8", PREPARE.format("snli-ve"), sources(text, *parts))
