"""Against the implementation that people would take instead: ModelScope's OFA, out of its wheel,
with the same weights. OFA-base at 480 px, float32, one thread, turn by turn.

    python -m venv peer && peer/bin/pip install torch modelscope 'transformers<4.47' -e .
    OMP_NUM_THREADS=1 peer/bin/python tests/benchmarks/peer.py [PART ...] [--json FILE] [--repeats 5]

Parts: beam (beam 5), greedy, batch (8 pictures, greedy). Each runs the peer as shipped, where it
gives its cache of keys and values away after every word; the peer with that repaired: what its
decoder returns is kept, reordered and handed back, and only the last word is computed; and ours.
Weights are random, captions last 17 steps. Tokens are compared before anything is timed. A run
whose process did not have a core to itself says so: do not quote it.

The wheel's front page imports speech and tokenizers that need more packages; they are passed by.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mue_cli.exits.methods import full
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.precision import at_precision
from mue_cli.inference.search import generate
from mue_cli.model.checkpoint import weights_of
from mue_cli.model.config import OFAConfig, preset
from mue_cli.model.convert import SHARED_EMBEDDING, TIED
from mue_cli.model.ofa import OFA
from mue_cli.model.released_settings import hf_config
from mue_cli.recipe.recipe import SearchSection

PROMPT = [0, 99, 473, 5, 2274, 6190, 116, 2]
PACKAGE = "modelscope.models.multi_modal.ofa"
QUIET_SHARE = 0.95
"""Of the time, spent on the processor by this process; below it something else ran there."""
Words = list[list[int]]


class NotInstalledError(Exception):
    """The peer cannot be imported here; says why."""


@dataclass(frozen=True)
class Peer:
    """What is used of ModelScope's wheel."""

    config: Any
    model: Any
    generator: Any  # the module of its sequence generator


def load_peer() -> Peer:
    """Import the peer's model files alone. Raises NotInstalledError."""
    spec = importlib.util.find_spec("modelscope")
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalledError("modelscope is not installed")
    folder = Path(next(iter(spec.submodule_search_locations)))
    names = PACKAGE.split(".")
    for depth in range(1, len(names) + 1):
        package = types.ModuleType(".".join(names[:depth]))
        package.__path__ = [str(folder.joinpath(*names[1:depth]))]
        sys.modules[package.__name__] = package
    fairseq = types.ModuleType("fairseq.modules")
    fairseq.LayerNorm = torch.nn.LayerNorm  # type: ignore[attr-defined] # for trunks not used here
    sys.modules.setdefault("fairseq", types.ModuleType("fairseq"))
    sys.modules.setdefault("fairseq.modules", fairseq)
    try:
        parts = [
            importlib.import_module(f"{PACKAGE}.{name}")
            for name in ("configuration_ofa", "modeling_ofa", "generate.sequence_generator")
        ]
    except ImportError as error:
        raise NotInstalledError(f"modelscope's OFA cannot be imported: {error}") from None
    return Peer(parts[0].OFAConfig, parts[1].OFAModel, parts[2])


def peer_model(peer: Peer, model: OFA) -> Any:
    """Build the peer's model around the same weights. Raises ValueError when a tensor of ours has
    no place in it.
    """
    theirs = peer.model(peer.config(**hf_config(model.config))).eval()
    weights = weights_of(model)
    weights |= dict.fromkeys(TIED, weights[SHARED_EMBEDDING])
    answer = theirs.load_state_dict(weights, strict=False)
    if answer.unexpected_keys:
        raise ValueError(f"tensors without a place in the peer: {answer.unexpected_keys[:5]}")
    missing = [name for name in answer.missing_keys if not _unused(name)]
    if missing:
        raise ValueError(f"tensors of the peer that were not filled: {missing[:5]}")
    return theirs


def _unused(name: str) -> bool:
    """Whether a tensor of the peer is a constant, a counter, or for generating pictures alone."""
    image_generation = "decoder." in name and ("image" in name or "code_" in name)
    constants = ("bucket", "position_idx", "num_batches_tracked", "version")
    return image_generation or any(word in name for word in constants)


class _Vocabulary:
    """The tokenizer's part that the peer's generator asks for."""

    bos_token_id, pad_token_id, eos_token_id, unk_token_id = 0, 1, 2, 3

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def get_vocab(self) -> dict[str, int]:
        return {str(number): number for number in range(self._size)}

    def get_added_vocab(self) -> dict[str, int]:
        return {}


def peer_captions(
    peer: Peer, model: Any, images: Tensor, tokens: Tensor, search: SearchSection
) -> Words:
    """Caption with the peer's own search."""
    generator = peer.generator.SequenceGenerator(
        _Vocabulary(model.config.vocab_size),
        beam_size=search.beam,
        max_len_b=search.max_tokens,
        min_len=search.min_tokens,
        no_repeat_ngram_size=search.no_repeat_ngram,
    )
    masks = torch.ones(len(images), dtype=torch.bool)
    inputs = {"input_ids": tokens, "patch_images": images, "patch_masks": masks}
    answer = generator.generate([model], {"net_input": inputs})
    return [hypotheses[0]["tokens"].tolist() for hypotheses in answer]


def repaired(peer: Peer) -> Peer:
    """Return the peer with a generator that keeps the decoder's cache."""
    module = types.ModuleType("repaired")
    module.__dict__.update(vars(peer.generator))

    class Ensemble(peer.generator.EnsembleModel):  # type: ignore[name-defined, misc]
        """One model, whose decoder's cache stays in `incremental_states`."""

        def forward_decoder(
            self,
            tokens: Tensor,
            encoder_outs: Any,
            incremental_states: Any,
            *rest: Any,
            **named: Any,
        ) -> Any:
            decoder = self.single_model.decoder
            own, cached = decoder.forward, len(incremental_states[0]) > 0

            def keeping(**inputs: Any) -> Any:
                if cached:  # one word is computed: one row of the mask
                    mask = inputs["encoder_attention_mask"]
                    inputs["encoder_attention_mask"] = mask[:, :, -1:]
                answer = own(**inputs)
                incremental_states[0] = answer.past_key_values
                return answer

            decoder.forward = keeping
            try:
                return super().forward_decoder(
                    tokens, encoder_outs, incremental_states, *rest, **named
                )
            finally:
                del decoder.forward

        def reorder_incremental_state(self, incremental_states: Any, new_order: Tensor) -> None:
            decoder = self.single_model.decoder
            incremental_states[0] = decoder.reorder_incremental_state_scripting(
                incremental_states[0], new_order
            )

    class Generator(peer.generator.SequenceGenerator):  # type: ignore[name-defined, misc]
        def _generate(self, *inputs: Any, **named: Any) -> Any:
            before = peer.generator.EnsembleModel
            peer.generator.EnsembleModel = Ensemble
            try:
                return super()._generate(*inputs, **named)
            finally:
                peer.generator.EnsembleModel = before

    module.SequenceGenerator = Generator  # type: ignore[attr-defined]
    return replace(peer, generator=module)


def our_captions(
    fast: OFA, tables: PositionTables, images: Tensor, tokens: Tensor, search: SearchSection
) -> Words:
    """Caption as `mue evaluate --method full` does; encoded jointly, as the peer encodes."""
    encoded = encode(fast, tables, full(False), images, tokens)
    results = generate(fast, tables, full(False), encoded, search)
    return [list(result.best.tokens) for result in results]


@dataclass(frozen=True)
class Times:
    """Medians in seconds, by side: on the clock, and on the processor, which neighbours hardly
    lengthen. share: the least part of a turn that this process had the processor to itself.
    """

    wall: dict[str, float]
    processor: dict[str, float]
    share: float


def turns(sides: Mapping[str, Callable[[], Words]], repeats: int) -> Times:
    """Time all sides turn by turn."""
    walls: dict[str, list[float]] = {name: [] for name in sides}
    works: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            start, worked = time.perf_counter(), time.process_time()
            side()
            works[name].append(time.process_time() - worked)
            walls[name].append(time.perf_counter() - start)
    shares = [
        work / wall / torch.get_num_threads()
        for name in sides
        for work, wall in zip(works[name], walls[name], strict=True)
    ]
    medians = [
        {name: statistics.median(times) for name, times in each.items()} for each in (walls, works)
    ]
    return Times(*medians, min(shares))


PARTS = {"beam": (5, 1), "greedy": (1, 1), "batch": (1, 8)}
"""Beam and pictures."""


def measure(
    peer: Peer, model: OFA, part: str, image_size: int, repeats: int, steps: int
) -> dict[str, object]:
    """Compare tokens, then time the three sides."""
    beam, rows = PARTS[part]
    search = SearchSection(beam=beam, min_tokens=steps, max_tokens=steps)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(rows, 3, image_size, image_size, generator=generator) * 2 - 1
    tokens = torch.tensor([PROMPT] * rows)
    theirs, fast = peer_model(peer, model), at_precision(model, "float32")
    tables, mended = PositionTables(fast), repaired(peer)
    sides: dict[str, Callable[[], Words]] = {
        "ours": lambda: our_captions(fast, tables, images, tokens, search),
        "peer, cache repaired": lambda: peer_captions(mended, theirs, images, tokens, search),
        "peer, as shipped": lambda: peer_captions(peer, theirs, images, tokens, search),
    }
    words = {name: side() for name, side in sides.items()}
    times = turns(sides, repeats)
    return {
        "tokens equal": {name: each == words["ours"] for name, each in words.items()},
        "seconds": times.wall,
        "times ours": _against_ours(times.wall),
        "processor seconds": times.processor,
        "times ours, processor": _against_ours(times.processor),
        "captions per second": {name: rows / each for name, each in times.wall.items()},
        "least share of the processor": times.share,
        "load": os.getloadavg()[0],
        "note": "" if times.share >= QUIET_SHARE else "the machine was busy: do not quote",
    }


def _against_ours(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: each / seconds["ours"] for name, each in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=480)
    parser.add_argument("--steps", type=int, default=16, help="words before the end")
    options = parser.parse_args(arguments)
    try:
        peer = load_peer()
    except NotInstalledError as error:
        print(f"skipped: {error}; see the head of {Path(__file__).name}")
        return 0
    torch.manual_seed(0)
    config: OFAConfig = replace(preset("base"), init_active_layers=None)
    model, found = OFA(config).eval().requires_grad_(False), {}
    with torch.inference_mode():
        for part in options.parts or PARTS:
            found[part] = measure(
                peer, model, part, options.image_size, options.repeats, options.steps
            )
            print(json.dumps({part: found[part]}, indent=1), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
