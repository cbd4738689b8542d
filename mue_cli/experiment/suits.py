"""Suitability where text is generated: how much exits could save of a model at all, measured on a
few samples with a few settings, since no table knows every setting.
"""

from collections.abc import Mapping

import numpy as np

from mue_cli.calibration.candidates import Candidates
from mue_cli.calibration.measured import Setting
from mue_cli.calibration.search import trade_off
from mue_cli.calibration.settings import Point, Settings
from mue_cli.calibration.suitability import MAX_DROP, Suitability
from mue_cli.evaluation.oracle import find_oracle, oracle_method
from mue_cli.exits.catalogue import STATIC, encoder_streams
from mue_cli.experiment.measurements import Measurements
from mue_cli.experiment.methods import make_method
from mue_cli.experiment.progress import Counter, counting

TARGETS = (0.15, 0.3, 0.45, 0.6)
EVALUATIONS_EACH = 2
ORACLE_SAMPLES = 16  # each is written at every pair of depths


def written_suitability(measured: Measurements) -> Suitability:
    """What the oracle, fixed layers and the method save, the last two with at most `MAX_DROP` less
    score on the search's half.
    """
    least = (1.0 - MAX_DROP) * measured.full_searched.score
    total = 1 + len(TARGETS) * EVALUATIONS_EACH
    progress = measured.trials.experiment.progress
    searching = counting(progress, "settings that could save", total)
    trade_off(measured.settings, measured.evaluate, TARGETS, EVALUATIONS_EACH, searching)
    fixed = _fixed(measured, least, counting(progress, "fixed layers", total))
    within = [each.reduction for each in measured.memory.values() if each.score >= least]
    return Suitability(
        _oracle(measured), fixed, max(within, default=0.0), oracle_samples=ORACLE_SAMPLES
    )


def _fixed(measured: Measurements, least: float, progress: Counter) -> float:
    """Largest reduction by the same layers for all samples, of those that a search looks at."""
    trials, half = measured.trials, measured.trials.halves.search

    def evaluate(layers: Mapping[str, float]) -> Point:
        if all(layers[stream] == deepest for stream, deepest in _deepest(measured).items()):
            return Point(dict(layers), measured.full_searched.score, 0.0)
        recipe, task = trials.experiment.recipe, trials.experiment.task
        method = make_method(recipe, task, STATIC, layers)
        answers = trials.fixed(method, {name: int(layer) for name, layer in layers.items()}, half)
        done = trials.score(Setting(dict(layers)), method, answers, half, measured.spending)
        return Point(dict(layers), done.score, done.reduction)

    points = trade_off(_layers(measured), evaluate, TARGETS, EVALUATIONS_EACH, progress)
    within = [each.reduction for each in points.values() if each.score >= least]
    return max(within, default=0.0)


def _deepest(measured: Measurements) -> dict[str, int]:
    experiment = measured.trials.experiment
    config, decompose = experiment.model.config, experiment.recipe.model.decompose
    encoder = dict.fromkeys(encoder_streams(decompose), config.num_encoder_layers)
    return {**encoder, "decoder": config.num_decoder_layers}


def _layers(measured: Measurements) -> Settings:
    """All combinations of fixed layers."""
    layers = {name: np.arange(n, 0, -1.0) for name, n in _deepest(measured).items()}
    return Settings.of(
        {name: Candidates(each, 1.0 - each / each.max()) for name, each in layers.items()}
    )


def _oracle(measured: Measurements) -> float:
    experiment = measured.trials.experiment
    decompose = experiment.recipe.model.decompose
    batches = experiment.batches("val", ORACLE_SAMPLES)
    progress = counting(experiment.progress, "oracle", len(batches.examples))
    predictions = find_oracle(experiment.predictor, decompose, batches, progress)
    traces = [each.trace for each in predictions]
    return measured.spending(oracle_method(decompose), traces, traces).reduction
