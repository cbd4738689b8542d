"""Methods that look at answers, against the slow twin: rules and readouts spelt out in plain
numbers.
"""

import math
import random
from collections.abc import Callable

import method_rows as methods
import pytest
import torch
import twins
from small_ofa import pad, small_inputs, small_model

from mue_cli.exits.decay import Decay
from mue_cli.exits.heads import ImitationHead, LayerHeads, ModelHead
from mue_cli.exits.methods import Method
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection

Seen = list[list[list[float]]]
"""Probabilities by layer, hypothesis and class."""


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def low_entropy(seen: Seen, threshold: float) -> bool:
    entropies = [-sum(p * math.log(p) for p in each) for each in seen[-1]]
    return mean(entropies) < (1.0 - threshold) * math.log(len(seen[-1][0]))


def confident(seen: Seen, threshold: float) -> bool:
    return mean([max(each) for each in seen[-1]]) > threshold


def wide_margin(seen: Seen, threshold: float) -> bool:
    return mean([sorted(each)[-1] - sorted(each)[-2] for each in seen[-1]]) > threshold


def agreed(seen: Seen, patience: float) -> bool:
    answers = [[each.index(max(each)) for each in layer] for layer in seen]
    return len(answers) > patience and all(
        answer == answers[-1] for answer in answers[-1 - int(patience) :]
    )


DECAY = Decay(0.8, 2.0)
NAMES = ("deebert", "pabee", "deecap", "calm")


def drawn(
    name: str, model: OFA, rng: random.Random
) -> tuple[Method, twins.Judge, float, Decay | None]:
    """Return a method with a random readout and threshold, and its judge."""
    config = model.config
    heads = LayerHeads(config.num_decoder_layers, config.embed_dim, config.vocab_size).double()
    imitation = ImitationHead(config.num_decoder_layers, config.embed_dim).double()
    threshold, patience = rng.uniform(0.1, 0.5), rng.choice((1, 1, 2))
    found: dict[str, Callable[[], tuple[Method, twins.Judge, float, Decay | None]]] = {
        "deebert": lambda: (
            methods.deebert(threshold / 4, heads, False),
            low_entropy,
            threshold / 4,
            None,
        ),
        "pabee": lambda: (methods.pabee(patience, heads, False), agreed, patience, None),
        "deecap": lambda: (methods.deecap(threshold, imitation, False), confident, threshold, None),
        "calm": lambda: (methods.calm(threshold, False, DECAY), wide_margin, threshold, DECAY),
    }
    return found[name]()


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_random_cases_do_what_the_slow_twin_does(monkeypatch, name: str) -> None:
    """In double precision throughout, so that no decision hangs on rounding."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    depths: set[int] = set()
    for seed in range(25 if name == "pabee" else 10):  # random hypotheses seldom agree
        rng = random.Random(seed)
        model = small_model(seed, vocab_size=30, num_encoder_layers=2).double()
        images, texts = small_inputs(seed, rng.randint(1, 4), vocab_size=30)
        images = images.double()
        search = SearchSection(rng.randint(1, 3), 5, rng.randint(0, 3), rng.choice((0, 2)), 1.0)
        method, judge, threshold, decay = drawn(name, model, rng)
        tables = PositionTables(model)
        encoded = encode(model, tables, method, images, pad(texts))
        head = ModelHead(model.decoder.layer_norm, model.decoder.output_projection)

        def read(
            state: torch.Tensor, layer: int, method: Method = method, head: ModelHead = head
        ) -> torch.Tensor:
            return method.head(state[None, None], [layer], head)[0, 0]

        for row, result in enumerate(generate(model, tables, method, encoded, search)):
            hidden, layout, _ = twins.encode(model, images[row], texts[row], {}, False)
            slow = twins.Decoder(
                model,
                hidden,
                layout,
                threshold,
                decay,
                search.max_tokens + 1,
                judge=judge,
                read=read,
            )
            settings = (
                search.beam,
                search.max_tokens,
                search.min_tokens,
                search.no_repeat_ngram,
                search.length_penalty,
            )
            finished, exits = twins.generate(slow, *settings)
            assert result.exit_layers == exits, f"case {seed}, row {row}"
            assert [list(h.tokens) for h in result.hypotheses] == [tokens for tokens, _ in finished]
            assert [h.score for h in result.hypotheses] == pytest.approx(
                [score for _, score in finished], abs=1e-9
            )
            depths |= set(exits)
    assert len(depths) >= 2
