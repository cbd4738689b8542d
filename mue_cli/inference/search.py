"""Generation: beam search with OFA's semantics; greedy search is a beam of one.

A hypothesis is finished when its end-of-sequence ranks among the first `beam` of the 2 * beam
candidates; a sample is done when it has `beam` of them, or at the last step, where only
end-of-sequence is allowed. No optimistic early stop.

Shape letters: B rows, Q hypotheses, T tokens so far, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mue_cli.exits.methods import Method
from mue_cli.inference.decode import Generation
from mue_cli.inference.encode import Encoded
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.rows import index_tensor
from mue_cli.inference.walk import Probe
from mue_cli.model.backbone import Backbone
from mue_cli.recipe.recipe import SearchSection

BOS_ID, PAD_ID, EOS_ID = 0, 1, 2
NEVER = float("-inf")


@dataclass(frozen=True)
class Hypothesis:
    """tokens: without BOS, with end-of-sequence. score: sum of log-probabilities over length **
    length_penalty.
    """

    tokens: tuple[int, ...]
    score: float


@dataclass
class Generated:
    """One sample's finished hypotheses, best first, and the exit layer and number of hypotheses of
    every step it was in.
    """

    hypotheses: list[Hypothesis] = field(default_factory=list)
    exit_layers: list[int] = field(default_factory=list)
    num_hypotheses: list[int] = field(default_factory=list)

    def wants_more(self, beam: int) -> bool:
        """Tell whether fewer than `beam` hypotheses are finished."""
        return len(self.hypotheses) < beam

    @property
    def best(self) -> Hypothesis:
        return self.hypotheses[0]


def generate(
    model: Backbone,
    tables: PositionTables,
    method: Method,
    encoded: Encoded,
    settings: SearchSection,
    probes: Mapping[str, Probe] | None = None,
) -> list[Generated]:
    """Generate for every row of an encoded batch."""
    beam, num_steps = settings.beam, settings.max_tokens + 1
    results = [Generated() for _ in range(len(encoded.hidden))]
    generation = Generation(
        model, tables, method, encoded, beam, num_steps, (probes or {}).get("decoder")
    )
    beams = _Beams.start(len(results), encoded.hidden.device)
    for position in range(num_steps):
        # One word more: a walk over the layers, then the best continuations.
        output = generation.step(beams.tokens[:, :, -1], beams.rows, position)
        assert output.logits is not None
        _note(results, beams, output.exit_layers)
        log_probs = _log_probs(output.logits, beams.tokens, position, settings)
        candidates = _choose(beams.scores, log_probs, beam)
        # Hypotheses that ended are handed over; rows that have enough of them are done.
        ended = (candidates.token == EOS_ID) & (candidates.score > NEVER)  # (B, 2 Q)
        _finish(results, beams, candidates, ended[:, :beam], settings)
        going_on = [i for i, row in enumerate(beams.rows) if results[row].wants_more(beam)]
        if position + 1 == num_steps or not going_on:
            break
        # The others go on with their best candidates that did not end.
        beams, sources = beams.extended(candidates, ended, going_on, beam)
        if beam > 1:
            generation.reorder(beams.rows, sources, position + 1)
    for result in results:
        result.hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
    return results


@dataclass(frozen=True)
class _Beams:
    """The hypotheses of the running rows. rows: their numbers. tokens: (B, Q, T), with BOS; one
    hypothesis until the first choice. scores: (B, Q), sums of log-probabilities.
    """

    rows: list[int]
    tokens: Tensor
    scores: Tensor

    @classmethod
    def start(cls, num_rows: int, device: torch.device) -> "_Beams":
        return cls(
            list(range(num_rows)),
            torch.full((num_rows, 1, 1), BOS_ID, device=device),
            torch.zeros(num_rows, 1, device=device),
        )

    def extended(
        self, candidates: "_Candidates", ended: Tensor, going_on: Sequence[int], beam: int
    ) -> tuple["_Beams", Tensor]:
        """Return the hypotheses one word longer, of the rows at some places, and which of the
        present ones each continues, (B, Q).
        """
        tokens = self.tokens
        if len(going_on) < len(self.rows):
            kept = index_tensor(going_on, tokens.device)
            candidates, ended, tokens = candidates.take(kept), ended[kept], tokens[kept]
        # The best `beam` that did not end, in order.
        alive = ended.long().sort(dim=1, stable=True).indices[:, :beam]
        sources = candidates.source.gather(1, alive)
        words = candidates.token.gather(1, alive)
        before = tokens.gather(1, sources[:, :, None].expand(-1, -1, tokens.shape[2]))
        return (
            _Beams(
                [self.rows[i] for i in going_on],
                torch.cat([before, words[:, :, None]], 2),
                candidates.score.gather(1, alive),
            ),
            sources,
        )


@dataclass(frozen=True)
class _Candidates:
    """The 2 * beam best continuations of each row: score, token, and the hypothesis each continues;
    all (B, 2 Q).
    """

    score: Tensor
    token: Tensor
    source: Tensor

    def take(self, index: Tensor) -> "_Candidates":
        return _Candidates(self.score[index], self.token[index], self.source[index])


def _choose(scores: Tensor, log_probs: Tensor, beam: int) -> _Candidates:
    """Return the best continuations over all hypotheses of a row: scores (B, Q), log_probs (B, Q,
    V).
    """
    vocabulary = log_probs.shape[2]
    totals = (scores[:, :, None] + log_probs).flatten(1)  # (B, Q V)
    score, flat = totals.topk(min(2 * beam, totals.shape[1] - 1), dim=1)
    return _Candidates(score, flat % vocabulary, flat // vocabulary)


def _log_probs(logits: Tensor, tokens: Tensor, position: int, settings: SearchSection) -> Tensor:
    """Return (B, Q, V) log-probabilities with everything that is not allowed at this position set
    to -inf.
    """
    logits = logits.float()
    log_probs = torch.log_softmax(
        logits if settings.temperature == 1.0 else logits / settings.temperature, dim=2
    )
    log_probs.nan_to_num_(nan=NEVER, posinf=NEVER, neginf=NEVER)
    log_probs[:, :, PAD_ID] = NEVER
    if position >= settings.max_tokens:
        ending = log_probs[:, :, EOS_ID].clone()
        log_probs.fill_(NEVER)
        log_probs[:, :, EOS_ID] = ending
    elif position < settings.min_tokens:
        log_probs[:, :, EOS_ID] = NEVER
    size = settings.no_repeat_ngram
    if 0 < size <= tokens.shape[2]:
        log_probs.scatter_(2, _repeating(tokens, size), NEVER)
    return log_probs


def _repeating(tokens: Tensor, size: int) -> Tensor:
    """Return tokens that would complete an n-gram already in the hypothesis (BOS counts), (B, Q,
    n-grams so far); padding where none.
    """
    ngrams = tokens.unfold(2, size, 1)  # (B, Q, T) -> (B, Q, n-grams, size)
    ending = tokens[:, :, None, tokens.shape[2] - size + 1 :]
    repeats = (ngrams[..., :-1] == ending).all(-1)
    return torch.where(repeats, ngrams[..., -1], PAD_ID)


def _note(results: list[Generated], beams: _Beams, exit_layers: Sequence[int]) -> None:
    for row, exit_layer in zip(beams.rows, exit_layers, strict=True):
        results[row].exit_layers.append(exit_layer)
        results[row].num_hypotheses.append(beams.tokens.shape[1])


def _finish(
    results: list[Generated],
    beams: _Beams,
    candidates: _Candidates,
    ended: Tensor,
    settings: SearchSection,
) -> None:
    """Hand over the hypotheses that ended among the first `beam` candidates, as long as a row wants
    more.
    """
    flags = ended.tolist()  # the host waits for the device: once a step, and when captions end
    if not any(map(any, flags)):
        return
    sources, scores, words = (
        each.tolist() for each in (candidates.source, candidates.score, beams.tokens)
    )
    places = [(i, rank) for i, row in enumerate(flags) for rank, flag in enumerate(row) if flag]
    for i, rank in places:
        result = results[beams.rows[i]]
        if result.wants_more(settings.beam):
            tokens = (*words[i][sources[i][rank]][1:], EOS_ID)
            score = scores[i][rank] / len(tokens) ** settings.length_penalty
            result.hypotheses.append(Hypothesis(tokens, score))
