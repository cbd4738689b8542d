"""What self-critical training needs of an experiment: captions through the one search, and their
CIDEr-D with document frequencies that are counted once and kept beside the prepared data.

No Java: references and captions are cut into words as the metrics do without it. As in OFA, the end
of a caption counts as a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from mue_cli.data.batches import Batch
from mue_cli.data.tasks.captioning import clean_generated
from mue_cli.evaluation.predict import encode_batch
from mue_cli.exits.methods import full
from mue_cli.experiment.experiment import Experiment
from mue_cli.inference.search import generate
from mue_cli.metrics.cider import CiderD, DocumentFrequencies
from mue_cli.metrics.tokens import plain_tokenize
from mue_cli.model.ofa import OFA
from mue_cli.model.tokenizer import Tokenizer
from mue_cli.training.self_critical import Reward, Sample, Sampled, self_critical
from mue_cli.training.stages import Stage

END = " <eos>"


def self_critical_stage(experiment: Experiment, model: OFA, tokenizer: Tokenizer) -> Stage:
    """Return self-critical training as the recipe says: samples are the hypotheses of
    search.beam.
    """
    settings, beam = experiment.recipe.training, experiment.recipe.search.beam
    greedy = None
    if settings.baseline == "greedy":
        greedy = _sampler(experiment, model, tokenizer, beam=1)
    return self_critical(
        model,
        settings,
        experiment.recipe.model.decompose,
        _sampler(experiment, model, tokenizer, beam),
        greedy,
        _reward(_frequencies(experiment)),
    )


def _sampler(experiment: Experiment, model: OFA, tokenizer: Tokenizer, beam: int) -> Sample:
    method = full(experiment.recipe.model.decompose)
    search = replace(experiment.recipe.search, beam=beam)

    @torch.inference_mode()
    def sample(batch: Batch) -> list[list[Sampled]]:
        predictor = experiment.predictor_of(model, tokenizer, search)
        encoded = encode_batch(predictor, method, batch)
        results = generate(predictor.model, predictor.tables, method, encoded, search)
        return [
            [
                Sampled(each.tokens, clean_generated(tokenizer.decode(list(each.tokens[:-1]))))
                for each in result.hypotheses[:beam]
            ]
            for result in results
        ]

    return sample


def _reward(frequencies: DocumentFrequencies) -> Reward:
    def reward(batch: Batch, texts: Sequence[Sequence[str]]) -> list[list[float]]:
        names = [str(row) for row in range(len(texts))]
        references = dict(zip(names, map(_words, batch.references), strict=True))
        scorer = CiderD(references, frequencies)
        words = [_words(row) for row in texts]
        return [
            [scorer.per_image({name: line})[name] for line in row]
            for name, row in zip(names, words, strict=True)
        ]

    return reward


def _words(captions: Sequence[str]) -> list[str]:
    return [line + END for line in plain_tokenize(captions)]


def _frequencies(experiment: Experiment) -> DocumentFrequencies:
    """Return in how many pictures of `train` each n-gram is, counted once per prepared folder."""
    path = experiment.data.root / f"cider-{experiment.data.fingerprint[:16]}.json.gz"
    if path.exists():
        return DocumentFrequencies.load(path)
    examples = experiment.data.examples(experiment.task, "train", features=_NoPictures())
    rows = (examples[row] for row in range(len(examples)))
    frequencies = DocumentFrequencies.of({row.image_id: _words(row.references) for row in rows})
    frequencies.save(path)
    return frequencies


@dataclass(frozen=True)
class _NoPictures:
    """Stands for pictures where only texts are read."""

    def __getitem__(self, row: int) -> Image.Image | Tensor:
        return Tensor()
