"""Decays of Eq. 11 beside the recipe's: settings that leave about as early under another beta and
tau, for a search that tries them too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mue_cli.calibration.candidates import Candidates
from mue_cli.calibration.measured import Setting
from mue_cli.exits.decay import Decay
from mue_cli.experiment.trials import Trials

DECAYS = ((1.0, 0.0), (0.9, 1.0), (0.9, 4.0), (0.7, 1.0), (0.7, 4.0), (0.5, 4.0))
"""beta and tau that are tried; beta 1 is a threshold that does not decay."""


@dataclass(frozen=True, eq=False)
class OtherDecays:
    """The decoder's candidate thresholds under the recipe's decay, and under each other one, by
    what `Setting.decay` says of it.
    """

    own: Candidates
    others: Sequence[tuple[Mapping[str, float], Candidates]]

    @classmethod
    def of(cls, trials: Trials, how: Decay) -> "OtherDecays":
        """Candidates from the same exit scores. how: the recipe's decay, which is left out."""
        decays = [
            replace(how, beta=beta, tau=tau) for beta, tau in DECAYS if (beta, tau) != _pair(how)
        ]
        return cls(
            trials.candidates(how)["decoder"],
            [
                ({"beta": each.beta, "tau": each.tau}, trials.candidates(each)["decoder"])
                for each in decays
            ],
        )

    def variants(self, setting: Setting) -> Iterator[Setting]:
        """Yield the setting under every other decay, its decoder expected to save as much or just
        more; nothing where the decoder never leaves, or all variants are known from another decay.
        """
        same = self.own.thresholds == setting.thresholds["decoder"]
        if setting.decay or not same.any():
            return
        saved = self.own.saved[same.argmax()]
        if saved <= 0.0:
            return
        for decay, candidates in self.others:
            place = int((candidates.saved >= saved - 1e-9).argmax())
            threshold = float(candidates.thresholds[place])
            yield Setting({**setting.thresholds, "decoder": threshold}, decay)


def _pair(how: Decay) -> tuple[float, float]:
    return how.beta, how.tau
