"""Scores by exit layer, measured once and kept in the run: for every pair of image and text layers
(Table 2), and for each stream read after each of its layers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mue_cli.calibration.bootstrap import mean_interval
from mue_cli.errors import RecipeError
from mue_cli.evaluation.exit_grid import predict_depths, score_pairs
from mue_cli.evaluation.sample_scores import SampleScores
from mue_cli.evaluation.score import quick_score
from mue_cli.experiment.batches import Batches, tell_cut
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.inputs import about_of, is_kept_of
from mue_cli.experiment.progress import counting
from mue_cli.reports.depth_scores import DepthScores
from mue_cli.reports.exit_grid import ExitGrid

Kept = TypeVar("Kept", ExitGrid, DepthScores)


def exit_grid(experiment: Experiment, split: str = "test", samples: int | None = None) -> ExitGrid:
    """Return the grid that was measured on the same split in the same way, else measure and store
    it.

    samples: of the split; None for those measured before, else the recipe's calibration.samples.
    Raises RecipeError where image and text are one stream.
    """
    if not experiment.recipe.model.decompose:
        raise RecipeError(
            "image and text are one joint stream without model.decompose: neither can leave alone",
            "add --set model.decompose=true, or use a run that was trained with it",
        )
    path = experiment.run.modality
    return _kept(ExitGrid.load, path, experiment, split, samples) or _grid(
        experiment, _batches(experiment, split, samples), about_of(experiment, split)
    )


def depth_scores(
    experiment: Experiment, split: str = "test", samples: int | None = None
) -> DepthScores:
    """Return every sample's score with one stream read after each of its layers, measured on the
    same split in the same way before or measured now and stored. samples: as in `exit_grid`.
    """
    path = experiment.run.depth
    return _kept(DepthScores.load, path, experiment, split, samples) or _depths(
        experiment, _batches(experiment, split, samples), about_of(experiment, split)
    )


def _kept(
    load: Callable[[Path], Kept],
    path: Path,
    experiment: Experiment,
    split: str,
    samples: int | None,
) -> Kept | None:
    """Return what was measured before, None when that was something else than is wanted."""
    if not path.exists():
        return None
    kept = load(path)
    alike = is_kept_of(kept.about, about_of(experiment, split))
    return kept if alike and samples in (None, kept.num_samples) else None


def _batches(experiment: Experiment, split: str, samples: int | None) -> Batches:
    experiment.need_trained()
    batches = experiment.batches(split, samples or experiment.recipe.calibration.samples)
    tell_cut(experiment, batches)
    return batches


def _grid(experiment: Experiment, batches: Batches, about: dict[str, str]) -> ExitGrid:
    predictor = experiment.predictor
    total = len(batches.examples) * predictor.model.config.num_encoder_layers**2
    progress = counting(experiment.progress, "pairs of exit layers", total)
    score = quick_score(experiment.task, batches)
    scores = score_pairs(predictor, batches, score, progress)
    grid = ExitGrid(scores, experiment.task.metric, len(batches.examples), about)
    grid.save(experiment.run.modality)
    return grid


def _depths(experiment: Experiment, batches: Batches, about: dict[str, str]) -> DepthScores:
    predictor, decompose = experiment.predictor, experiment.recipe.model.decompose
    config = predictor.model.config
    settings = config.num_encoder_layers * (3 if decompose else 1) + config.num_decoder_layers
    total = len(batches.examples) * settings
    progress = counting(experiment.progress, "exit layers", total)
    predicted = predict_depths(predictor, decompose, batches, progress)
    score = SampleScores(experiment.task, predicted["decoder"][-1])
    count, pictures = len(batches.examples), [p.image_id for p in predicted["decoder"][-1]]
    each = {
        stream: np.array([score(range(count), [p.text for p in layer]) for layer in layers])
        for stream, layers in predicted.items()
    }
    measured = DepthScores(
        {stream: scores.mean(axis=1) for stream, scores in each.items()},
        {stream: _differences(scores, pictures) for stream, scores in each.items()},
        experiment.task.metric,
        count,
        about,
    )
    measured.save(experiment.run.depth)
    return measured


def _differences(
    scores: NDArray[np.float64], pictures: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Return each layer's mean difference to the last layer with its interval's bounds, (N, 3):
    paired, bootstrap over pictures; without bounds, NaN, below two. scores: (N, n). pictures: (n,).
    """
    rows = [
        (each.mean(), *(mean_interval(each, pictures) or (np.nan, np.nan)))
        for each in scores - scores[-1]
    ]
    return np.array(rows)
