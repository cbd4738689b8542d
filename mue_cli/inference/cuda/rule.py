"""A rule that looks at states, recorded: about a dozen small kernels become one launch."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

from torch import Tensor

from mue_cli.exits.observation import Observation, Rule, RuleAround
from mue_cli.inference.cuda.recorder import Recorder


@dataclass(frozen=True)
class RecordedRule(RuleAround):
    """A rule whose answer depends on the states before and after the layer, the layer and the step
    alone; one program for each layer and step. num_rows: of the whole batch; where some have left,
    kernels are launched one by one.
    """

    stream: str
    num_rows: int
    recorder: Recorder

    def __call__(self, observation: Observation) -> Tensor:
        if observation.padding_mask is not None or len(observation.after) < self.num_rows:
            return self.rule(observation)

        def decide(before: Tensor, after: Tensor) -> Tensor:
            return self.rule(replace(observation, before=before, after=after))

        name: Hashable = (
            "rule",
            self.rule,
            self.stream,
            observation.layer,
            observation.step,
            observation.num_steps,
        )
        return self.recorder(name, decide, observation.before, observation.after)


def recorded_rule(rule: Rule, stream: str, num_rows: int, recorder: Recorder | None) -> Rule:
    """Return the rule, recorded where there is a recorder and nothing else than states decides."""
    if recorder is None or not rule.can_fire:
        return rule
    if rule.score is None or rule.score.source != "states":
        return rule
    return RecordedRule(rule, stream, num_rows, recorder)
