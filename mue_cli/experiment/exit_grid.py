"""The score for every pair of image and text exit layers, the decoder at full depth (Table 2)."""

from dataclasses import asdict

from mue_cli.errors import RecipeError
from mue_cli.evaluation.exit_grid import score_pairs
from mue_cli.evaluation.score import quick_score
from mue_cli.experiment.experiment import Experiment
from mue_cli.experiment.progress import counting
from mue_cli.reports.exit_grid import ExitGrid


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
    if grid := _stored(experiment, split, samples):
        return grid
    experiment.need_trained()
    return _measure(experiment, split, samples)


def _stored(experiment: Experiment, split: str, samples: int | None) -> ExitGrid | None:
    """Return what was measured before, None when that was something else than is wanted."""
    if not experiment.run.modality.exists():
        return None
    grid = ExitGrid.load(experiment.run.modality)
    before = (grid.about.get("split"), grid.about.get("settings"))
    alike = before == (split, _settings(experiment))
    return grid if alike and samples in (None, grid.num_samples) else None


def _measure(experiment: Experiment, split: str, samples: int | None) -> ExitGrid:
    batches = experiment.batches(split, samples or experiment.recipe.calibration.samples)
    predictor = experiment.predictor
    total = len(batches.examples) * predictor.model.config.num_encoder_layers**2
    progress = counting(experiment.progress, "pairs of exit layers", total)
    score = quick_score(experiment.task, batches)
    scores = score_pairs(predictor, batches, score, progress)
    about = {
        "recipe": experiment.recipe.name,
        "dataset": experiment.data.manifest.name,
        "split": split,
        "settings": _settings(experiment),
    }
    grid = ExitGrid(scores, experiment.task.metric, len(batches.examples), about)
    grid.save(experiment.run.modality)
    return grid


def _settings(experiment: Experiment) -> str:
    """Return in words what scores depend on besides the weights' own training."""
    search, precision = experiment.recipe.search, experiment.precision
    parts = [experiment.run.weights] if experiment.run.weights else []
    if experiment.task.generates:
        usual = asdict(type(search)())
        parts += [
            f"{name} {value:g}"
            for name, value in asdict(search).items()
            if name == "beam" or value != usual[name]
        ]
    return ", ".join([*parts, precision])
