"""Generation: beam search with OFA's semantics; greedy search is a beam of one.

A hypothesis is finished when its end-of-sequence ranks among the first `beam` of the 2 * beam
candidates; a sample is done when it has `beam` of them, or at the last step, where only
end-of-sequence is allowed. No optimistic early stop.

Shape letters: B rows, Q hypotheses, T tokens so far, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mue_cli.exits.methods import Method
from mue_cli.inference.decode import Generation
from mue_cli.inference.encode import Encoded
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.walk import Probe
from mue_cli.model.ofa import OFA
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

    @property
    def best(self) -> Hypothesis:
        return self.hypotheses[0]


def generate(
    model: OFA,
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
    rows = list(range(len(results)))
    tokens = torch.full(
        (len(rows), 1, 1), BOS_ID, device=encoded.hidden.device
    )  # (B, Q, T); one hypothesis until the first choice
    scores = encoded.hidden.new_zeros(len(rows), 1, dtype=torch.float32)
    for position in range(num_steps):
        walked = generation.step(tokens[:, :, -1], rows, position)
        assert walked.logits is not None
        log_probs = _log_probs(walked.logits, tokens, position, settings)
        for row, exit_layer in zip(rows, walked.exit_layers, strict=True):
            results[row].exit_layers.append(exit_layer)
            results[row].num_hypotheses.append(tokens.shape[1])
        chosen = _choose(scores, log_probs, beam)
        ended = (chosen.token == EOS_ID) & (chosen.score > NEVER)  # (B, 2 Q)
        _finish(results, rows, tokens, chosen, ended[:, :beam], settings)
        goes_on = [i for i, row in enumerate(rows) if len(results[row].hypotheses) < beam]
        if position + 1 == num_steps or not goes_on:
            break
        keep = torch.tensor(goes_on, device=tokens.device)
        rows = [rows[i] for i in goes_on]
        chosen, ended, tokens = chosen.rows(keep), ended[keep], tokens[keep]
        alive = (
            ended.long().sort(dim=1, stable=True).indices[:, :beam]
        )  # the best `beam` candidates that did not end, in order
        source, scores = chosen.source.gather(1, alive), chosen.score.gather(1, alive)
        tokens = torch.cat(
            [
                tokens.gather(1, source[:, :, None].expand(-1, -1, tokens.shape[2])),
                chosen.token.gather(1, alive)[:, :, None],
            ],
            2,
        )
        if beam > 1:
            generation.reorder(rows, source, position + 1)
    for result in results:
        result.hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
    return results


@dataclass(frozen=True)
class _Candidates:
    """The 2 * beam best continuations of each row: score, token, and the hypothesis each continues;
    all (B, 2 Q).
    """

    score: Tensor
    token: Tensor
    source: Tensor

    def rows(self, index: Tensor) -> "_Candidates":
        return _Candidates(self.score[index], self.token[index], self.source[index])


def _choose(scores: Tensor, log_probs: Tensor, beam: int) -> _Candidates:
    """Pick the best continuations over all hypotheses of a row: scores (B, Q), log_probs (B, Q, V)."""
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


def _finish(
    results: list[Generated],
    rows: list[int],
    tokens: Tensor,
    chosen: _Candidates,
    ended: Tensor,
    settings: SearchSection,
) -> None:
    """Hand over the hypotheses that ended among the first `beam` candidates, as long as a row wants
    more.
    """
    for i, rank in ended.nonzero().tolist():
        result = results[rows[i]]
        if len(result.hypotheses) < settings.beam:
            words = tokens[i, chosen.source[i, rank], 1:].tolist()
            length = len(words) + 1
            result.hypotheses.append(
                Hypothesis(
                    (*words, EOS_ID), chosen.score[i, rank].item() / length**settings.length_penalty
                )
            )
