"""How much too good a calibration's promise is, since the fresh samples also choose among the last
settings: the calibration's own choice on made-up settings whose true scores are known.

    python tests/benchmarks/promise_luck.py

20 settings that save 40 to 42 %, of which the 8 best of the searched half go on; a sample's score
under a setting differs from the full model's by the setting's true loss and noise, half of which
all settings share.
"""

from collections.abc import Sequence

import numpy as np

from mue_cli.calibration.halving import SHORTLIST, halve
from mue_cli.calibration.measured import Measured, Setting

SETTINGS, TARGET, REPEATS = 20, 0.4, 400
NOISE = 18.0
"""Standard deviation of a sample's difference, in points of CIDEr; Flickr8k's captions have about
that."""


def main() -> None:
    """Print, for some numbers of samples and spreads of true losses, how the choice fares."""
    print("samples  true losses  promise too good by  chosen below the best by")
    for samples in (250, 500, 1000):
        for spread in (1.5, 3.0, 6.0):
            luck, loss = np.mean([_once(seed, samples, spread) for seed in range(REPEATS)], axis=0)
            print(f"{samples:7}  {spread:11}  {luck:19.2f}  {loss:24.2f}")


def _once(seed: int, samples: int, spread: float) -> tuple[float, float]:
    """Return how much the chosen setting's promised difference lies above its true one, and its
    true score below the best.
    """
    draw = np.random.default_rng(seed)
    losses = 0.5 + np.abs(draw.normal(0.0, spread, SETTINGS))
    saved = draw.uniform(TARGET, TARGET + 0.02, SETTINGS)
    shared, own = (
        draw.normal(0.0, NOISE, (samples, 1)),
        draw.normal(0.0, NOISE, (samples, SETTINGS)),
    )
    full = draw.normal(35.0, 30.0, samples)
    scores = full[:, None] - losses + (shared + own) / np.sqrt(2.0)
    searched, fresh = np.arange(samples // 2), np.arange(samples // 2, samples)

    def measure(setting: Setting, rows: Sequence[int]) -> Measured:
        number = int(setting.thresholds["number"])
        spent = np.full((len(rows), 1), 1.0 - saved[number])
        return Measured(setting, scores[list(rows), number], spent, np.ones((len(rows), 1)))

    tried = [measure(Setting({"number": number}), searched.tolist()) for number in range(SETTINGS)]
    shortlist = sorted(tried, key=lambda each: -each.score)[:SHORTLIST]
    whole = np.ones((samples, 1))
    reference = Measured(Setting({}), full, whole, whole)
    chosen = halve(shortlist, measure, reference, fresh.tolist(), TARGET).finalist
    number = int(chosen.searched.setting.thresholds["number"])
    promised = float((chosen.judged.scores - full[fresh]).mean())
    return promised + losses[number], losses[number] - losses.min()


if __name__ == "__main__":
    main()
