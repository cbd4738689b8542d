"""Certificates by simulation on a trained model of a closed set: are the promises kept, and are they
worth anything?

    python tests/benchmarks/certificates.py runs/shapes-entailment

All pictures of val and test are the population, so that the true risk of a setting is known. A path
comes from a draw of pictures, and is tested on other draws, with replacement, for two losses (0 or 1
of one question about each picture; the share of a picture's questions that are lost), two largest
losses D, and both tests. Printed: how often the setting that was kept has a true risk above D, and
the reduction found beside the largest of the path whose true risk is within D.
"""

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mue_cli import Experiment
from mue_cli.calibration.candidates import candidate_thresholds
from mue_cli.calibration.certificate import TESTS, path_of, without_detours
from mue_cli.calibration.exit_table import ExitTable
from mue_cli.calibration.frontier import smoothed, staircase
from mue_cli.calibration.losses import wrong_now
from mue_cli.calibration.measured import Setting
from mue_cli.calibration.risk import fixed_sequence
from mue_cli.calibration.settings import Settings
from mue_cli.exits.catalogue import MUE
from mue_cli.experiment.trials import Trials

Array = NDArray[np.float64]
DRAWS_PER_PATH = 25
DROPS = (0.02, 0.05)
CONFIDENCE = 0.9


@dataclass(frozen=True, eq=False)
class Population:
    """Samples of a table, and the picture of each."""

    table: ExitTable
    pictures: Sequence[str]

    @cached_property
    def rows(self) -> list[NDArray[np.intp]]:
        """Samples of each picture."""
        names = np.unique(np.array(self.pictures), return_inverse=True)[1]
        return [np.flatnonzero(names == number) for number in range(names.max() + 1)]

    @cached_property
    def losses(self) -> Array:
        """Loss of every sample at every combination of exit layers."""
        scores = self.table.scores
        full = scores.reshape(len(scores), -1)[:, -1]
        return wrong_now(full.reshape(-1, *[1] * (scores.ndim - 1)), scores)

    def loss(self, setting: Setting) -> Array:
        """Loss of every sample under a setting."""
        exits = self.table.exits(setting).values()
        chosen: Array = self.losses[(np.arange(len(self.table)), *(each - 1 for each in exits))]
        return chosen

    def path(self, pictures: NDArray[np.intp], max_drop: float) -> list[Setting]:
        """A path as calibration makes it, from some pictures."""
        half = np.concatenate([self.rows[picture] for picture in pictures])
        encoder = {name: each[half] for name, each in self.table.encoder.items()}
        deepest = self.table.decoder.reshape(len(self.table), -1, self.table.decoder.shape[-1])
        scores = encoder | {"decoder": deepest[half, -1]}
        settings = Settings.of({name: candidate_thresholds(each) for name, each in scores.items()})
        grid = self.table.grid(settings, half, self.losses)
        reduction = settings.reduction_of(grid.saved)
        order = staircase(reduction, -smoothed(grid.scores, settings.shape))
        order = [number for number in order if reduction[number] > 0.0]
        losses = [float(grid.scores[number]) for number in order]
        order = without_detours(order, losses, max_drop / 2.0)
        kept = path_of(order, [float(grid.scores[number]) for number in order], 2.0 * max_drop)
        return [Setting(settings[number]) for number in kept]


@dataclass(frozen=True, eq=False)
class Known:
    """A setting of a path, whose truth is known. each: loss of every sample. by_picture: mean loss
    of each picture.
    """

    reduction: float
    each: Array
    by_picture: Array


def known(population: Population, setting: Setting) -> Known:
    """What a setting does to the whole population."""
    each = population.loss(setting)
    reduction = population.table.measure(setting).reduction
    return Known(reduction, each, np.array([each[rows].mean() for rows in population.rows]))


def simulate(population: Population, max_drop: float, resamples: int, size: int) -> list[str]:
    """Draw, test and count. size: pictures of a draw."""
    random, num_pictures = np.random.default_rng(0), len(population.rows)
    losses = ("one question", "share of a picture's questions")
    wrong = dict.fromkeys(itertools.product(losses, TESTS), 0)
    saved: dict[tuple[str, str], list[float]] = {key: [] for key in wrong}
    best: dict[str, list[float]] = {loss: [] for loss in losses}
    for number in range(resamples):
        if number % DRAWS_PER_PATH == 0:
            path = population.path(random.integers(num_pictures, size=size), max_drop)
            settings = [known(population, setting) for setting in path]
        drawn = random.integers(num_pictures, size=size)
        one = np.array([random.choice(population.rows[picture]) for picture in drawn])
        tested = {
            losses[0]: [setting.each[one] for setting in settings],
            losses[1]: [setting.by_picture[drawn] for setting in settings],
        }
        # Each picture has as many questions, so the mean over questions is the one over pictures.
        truth = [float(setting.by_picture.mean()) for setting in settings]
        for loss in losses:
            fine = [
                s.reduction for s, risk in zip(settings, truth, strict=True) if risk <= max_drop
            ]
            best[loss].append(max(fine, default=0.0))
        for loss, test in wrong:
            passed = fixed_sequence(tested[loss], max_drop, CONFIDENCE, TESTS[test]).num_passed
            wrong[loss, test] += passed > 0 and truth[passed - 1] > max_drop
            saved[loss, test].append(settings[passed - 1].reduction if passed else 0.0)
    return [
        f"D {max_drop:.0%}  {test:17}  {loss:31}  violations {count / resamples:6.1%} of {resamples} "
        f"(promised: at most {1 - CONFIDENCE:.0%})  reduction {np.mean(saved[loss, test]):.1%} of "
        f"{np.mean(best[loss]):.1%}"
        for (loss, test), count in wrong.items()
    ]


def population_of(run: str, overrides: Sequence[str] = ()) -> Population:
    """Tabulate val and test of a run."""
    experiment = Experiment.open(run=run, overrides=overrides)
    val, test = (Trials(experiment, MUE, split=split) for split in ("val", "test"))
    assert val.table is not None and test.table is not None
    names = [f"{split} {name}" for split, each in (("val", val), ("test", test))
             for name in each.pictures]  # fmt: skip
    return Population(joined(val.table, test.table), names)


def joined(one: ExitTable, other: ExitTable) -> ExitTable:
    """Both tables' samples."""
    encoder = {
        name: np.concatenate([one.encoder[name], other.encoder[name]]) for name in one.encoder
    }
    decoder, scores = (
        np.concatenate([getattr(one, name), getattr(other, name)]) for name in ("decoder", "scores")
    )
    return ExitTable(encoder, decoder, scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--pictures", type=int, default=200)
    wanted = parser.parse_args()
    population = population_of(wanted.run, wanted.set)
    for max_drop in DROPS:
        for line in simulate(population, max_drop, wanted.resamples, wanted.pictures):
            print(line, flush=True)


if __name__ == "__main__":
    main()
