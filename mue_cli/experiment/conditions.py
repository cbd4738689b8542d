"""Conditions: what thresholds depend on besides the weights' training, and hold under."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from mue_cli.calibration.precision import Precision
from mue_cli.recipe.recipe import SkippedLayers
from mue_cli.schema.schema import Count


@dataclass(frozen=True)
class Conditions:
    """What thresholds depend on besides the weights' training.

    decompose: image and text apart. decay: Eq. 11's settings, empty where nothing decays.
    skipped_layers: the policy. search: the recipe's whole section, empty for closed sets: rules
    look at all hypotheses together, and Eq. 11 at the longest caption. image_size, prompt,
    max_source_tokens: of what the encoder sees. precision. weights: as `--weights` named them, None
    for the run's own. fingerprint: of the weights, and of the method's own exit head: weights
    trained anew are others under the same name.

    Thresholds that were stored before these were know only beam and max_tokens of `search`, and
    have no image_size, prompt and max_source_tokens: what either does not state is not compared.
    """

    decompose: bool = True
    decay: Mapping[str, float] = field(default_factory=dict)
    skipped_layers: SkippedLayers = "project"
    search: Mapping[str, float] = field(default_factory=dict)
    image_size: Count | None = None
    prompt: str | None = None
    max_source_tokens: Count | None = None
    precision: Precision = "float32"
    weights: str | None = None
    fingerprint: str = ""

    def differences(self, other: "Conditions") -> Iterator[tuple[str, str]]:
        """Yield what differs from other conditions, field by field, in words: ours and theirs."""
        for item in fields(self):
            pair = (getattr(self, item.name), getattr(other, item.name))
            if item.name == "search" and all(pair):
                pair = _that_differ(*pair)
            if item.name in _NEWER and None in pair:
                continue
            if pair[0] != pair[1]:
                yield _in_words(item.name, pair[0]), _in_words(item.name, pair[1])


_NEWER = ("image_size", "prompt", "max_source_tokens")


def _that_differ(
    ours: Mapping[str, float], theirs: Mapping[str, float]
) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return both without what they share, and without what one of them does not state."""
    names = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    return {name: ours[name] for name in names}, {name: theirs[name] for name in names}


def _in_words(name: str, value: object) -> str:
    match name, value:
        case "decompose", _:
            return "image and text apart" if value else "image and text in one stream"
        case "fingerprint", _:
            return f"the weights {value}" if value else "weights of which nothing was kept"
        case "weights", _:
            return f"the weights {value}" if value else "the run's own weights"
        case _, Mapping():
            listed = ", ".join(f"{key} {number:g}" for key, number in value.items())
            return listed or ("no decay" if name == "decay" else "no search")
        case _:
            return f"{name} {value}"
