"""The search is tried on made-up streams whose scores are known for every setting."""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mue_cli.calibration.candidates import AT_ONCE, NEVER, candidate_thresholds, without_decay
from mue_cli.calibration.search import Calibration, calibrate
from mue_cli.calibration.settings import Point, Settings
from mue_cli.errors import MueError
from mue_cli.exits.decay import Decay, decayed_threshold

WORDS = 5


def exits(similarities: np.ndarray, threshold: float) -> np.ndarray:
    """Exit layer of each row, from 1: the first one above the threshold, or the last layer."""
    above = similarities > threshold
    return np.where(above.any(axis=1), above.argmax(axis=1) + 1, similarities.shape[1])


class MadeUpStreams:
    """Samples whose streams settle down layer by layer; leaving early damages the score by what was
    still to change.

    harm: stream -> how much. drift: how much later words leave once the encoder is damaged, which
    no exit score of the full model shows.
    """

    def __init__(
        self,
        harm: Mapping[str, float],
        num_layers: int = 6,
        num_samples: int = 60,
        drift: float = 0.2,
        seed: int = 0,
    ) -> None:
        random = np.random.default_rng(seed)
        self.harm, self.num_layers, self.drift, self.calls = harm, num_layers, drift, 0
        self.exit_scores: dict[str, np.ndarray] = {}
        for stream in harm:
            rows = num_samples * (WORDS if stream == "decoder" else 1)
            change = 0.5 * np.exp(
                -0.6 * np.arange(num_layers)
                + 0.4 * random.normal(size=(rows, 1))
                + 0.1 * random.normal(size=(rows, num_layers))
            )
            self.exit_scores[stream] = 1.0 - np.minimum(change, 1.5)

    @property
    def settings(self) -> Settings:
        return Settings.from_scores(self.exit_scores)

    def evaluate(self, thresholds: Mapping[str, float]) -> Point:
        self.calls += 1
        damage, encoder = 0.0, []
        for stream in self.harm:
            if stream == "decoder":
                continue
            layers = exits(self.exit_scores[stream], thresholds[stream])
            encoder.append(layers.mean() / self.num_layers)
            damage += self._damage(stream, layers)
        words = exits(
            1.0 - (1.0 - self.exit_scores["decoder"]) * math.exp(self.drift * min(damage, 1.0)),
            thresholds["decoder"],
        )
        if thresholds["decoder"] > 1:
            words[:] = self.num_layers
        damage += self._damage("decoder", words)
        reduction = 1.0 - (float(np.mean(encoder)) + words.mean() / self.num_layers) / 2
        return Point(dict(thresholds), 100.0 * math.exp(-damage), float(reduction))

    def _damage(self, stream: str, layers: np.ndarray) -> float:
        skipped = np.arange(self.num_layers) >= layers[:, None]
        left = np.where(skipped, np.square(1.0 - self.exit_scores[stream]), 0.0)
        return self.harm[stream] * float(left.sum(axis=1).mean())

    def best_by_brute_force(self, target: float, num_levels: int = 10) -> Point:
        columns = [
            candidate_thresholds(self.exit_scores[stream], num_levels).thresholds
            for stream in self.harm
        ]
        points = [
            self.evaluate(dict(zip(self.harm, values, strict=True)))
            for values in itertools.product(*columns)
        ]
        return max(
            (point for point in points if point.reduction >= target), key=lambda point: point.score
        )


SENSITIVE = [
    {"image": 10.0, "text": 0.1, "decoder": 10.0},
    {"image": 0.1, "text": 20.0, "decoder": 20.0},
    {"image": 30.0, "text": 30.0, "decoder": 0.5},
    {"joint": 2.0, "decoder": 20.0},
]


@pytest.mark.parametrize("harm", SENSITIVE)
def test_search_comes_within_a_hundredth_of_brute_force(harm: Mapping[str, float]) -> None:
    streams = MadeUpStreams(harm)
    found = calibrate(streams.settings, streams.evaluate, 0.4, max_evaluations=20)
    assert streams.calls <= 20
    assert found.reduction >= 0.4
    assert found.score >= 0.99 * streams.best_by_brute_force(0.4).score


def test_stream_that_does_not_mind_gives_up_the_most_layers() -> None:
    streams = MadeUpStreams({"image": 0.1, "text": 30.0, "decoder": 30.0})
    found = calibrate(streams.settings, streams.evaluate, 0.3)
    image, text = (
        exits(streams.exit_scores[stream], found.thresholds[stream]).mean()
        for stream in ("image", "text")
    )
    assert image < 1.5
    assert text > 3.0


def test_result_is_one_of_the_points_that_were_run_and_the_full_model_came_first() -> None:
    streams = MadeUpStreams(SENSITIVE[0])
    found = calibrate(streams.settings, streams.evaluate, 0.4, max_evaluations=8)
    assert len(found.evaluations) == streams.calls == 8
    assert found.evaluations[0] == Point(
        {"image": NEVER, "text": NEVER, "decoder": NEVER}, 100.0, 0.0
    )
    assert found.full_score == 100.0
    assert Point(found.thresholds, found.score, found.reduction) in found.evaluations
    assert found.score == max(point.score for point in found.evaluations if point.reduction >= 0.4)


def test_same_input_gives_the_same_search() -> None:
    def search() -> Calibration:
        streams = MadeUpStreams(SENSITIVE[1])
        return calibrate(streams.settings, streams.evaluate, 0.35, max_evaluations=10)

    assert search() == search()


@settings(max_examples=25, deadline=None)
@given(
    harm=st.tuples(st.floats(0.01, 3), st.floats(0.01, 3), st.floats(0.01, 3)),
    drift=st.floats(-1, 1),
    target=st.floats(0.05, 0.9),
    seed=st.integers(0, 100),
)
def test_what_is_returned_reached_the_target_when_it_was_run(
    harm: tuple[float, float, float], drift: float, target: float, seed: int
) -> None:
    streams = MadeUpStreams(
        dict(zip(("image", "text", "decoder"), harm, strict=True)),
        num_samples=12,
        drift=drift,
        seed=seed,
    )
    try:
        found = calibrate(streams.settings, streams.evaluate, target, max_evaluations=5)
    except MueError:
        assert (
            target
            > streams.evaluate({"image": AT_ONCE, "text": AT_ONCE, "decoder": AT_ONCE}).reduction
        )
    else:
        assert streams.evaluate(found.thresholds).reduction >= target
    assert streams.calls <= 5 + 1


def test_search_gets_there_when_the_exit_scores_promise_too_much() -> None:
    """Words leave much later than the full model's similarities say: the search must notice and
    lower the threshold.
    """
    streams = MadeUpStreams({"image": 20.0, "text": 20.0, "decoder": 1.0}, drift=0.9)
    first = calibrate(streams.settings, streams.evaluate, 0.5, max_evaluations=16)
    assert any(point.reduction < 0.5 for point in first.evaluations[1:])
    assert 0.5 <= first.reduction < 0.53


def test_target_out_of_reach_states_the_largest_reachable_one_after_measuring_it() -> None:
    streams = MadeUpStreams(SENSITIVE[0], num_layers=5)
    with pytest.raises(
        MueError,
        match=r"a reduction of 85.0% cannot be reached: .* as early as possible saves 80.0%",
    ) as error:
        calibrate(streams.settings, streams.evaluate, 0.85)
    assert error.value.hint is not None
    assert "at most 0.80" in error.value.hint
    assert streams.calls == 2


def test_everything_may_leave_after_layer_1_or_not_at_all() -> None:
    """Every similarity is 1: a stream has two settings, and one stream at once saves 5/6 of half."""
    settings = Settings.from_scores({"joint": np.ones((4, 6)), "decoder": np.ones((4, 6))})
    assert settings.shape == (2, 2)

    def evaluate(thresholds: Mapping[str, float]) -> Point:
        saved = [5 / 6 * (thresholds[stream] < 1.0) for stream in settings.streams]
        return Point(dict(thresholds), 100.0 - sum(saved), sum(saved) / 2)

    result = calibrate(settings, evaluate, 0.4)
    assert result.reduction == pytest.approx(5 / 12)
    assert calibrate(settings, evaluate, 0.5).reduction == pytest.approx(5 / 6)


def test_similarities_that_are_no_numbers_leave_nothing_to_save() -> None:
    settings = Settings.from_scores({"decoder": np.full((4, 6), np.nan)})
    assert settings.reduction.max() == 0.0
    with pytest.raises(MueError, match=r"cannot be reached: .* saves 0\.0%"):
        calibrate(settings, lambda thresholds: Point(dict(thresholds), 50.0, 0.0), 0.2)


def test_full_depth_steps_limit_what_can_be_reached() -> None:
    streams = MadeUpStreams(SENSITIVE[0])
    streams.exit_scores["decoder"][::2] = -np.inf
    with pytest.raises(
        MueError, match=r"saves 62.5%"
    ):  # 5/6 of the encoder and of every other word: (0.8333 + 0.4167) / 2
        calibrate(streams.settings, streams.evaluate, 0.7)


def test_when_nothing_costs_anything_the_larger_reduction_wins() -> None:
    streams = MadeUpStreams({"image": 0.0, "text": 0.0, "decoder": 0.0})
    found = calibrate(streams.settings, streams.evaluate, 0.2, max_evaluations=12)
    assert found.score == found.full_score
    assert found.reduction == max(point.reduction for point in found.evaluations)


def test_useless_full_model_is_still_calibrated() -> None:
    streams = MadeUpStreams(SENSITIVE[0], num_samples=10)
    found = calibrate(
        streams.settings,
        lambda thresholds: Point(thresholds, 0.0, streams.evaluate(thresholds).reduction),
        0.4,
        6,
    )
    assert found.score == 0.0
    assert found.reduction >= 0.4


def test_progress_is_told_after_every_evaluation() -> None:
    streams = MadeUpStreams(SENSITIVE[3], num_samples=10)
    seen: list[tuple[int, int]] = []
    calibrate(
        streams.settings,
        streams.evaluate,
        0.3,
        4,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("target", [0.0, 1.0, 40.0])
def test_target_must_be_a_fraction(target: float) -> None:
    streams = MadeUpStreams(SENSITIVE[0], num_samples=3)
    with pytest.raises(MueError, match="not between 0 and 1"):
        calibrate(streams.settings, streams.evaluate, target)
    assert streams.calls == 0


def test_two_evaluations_are_too_few() -> None:
    streams = MadeUpStreams(SENSITIVE[0], num_samples=3)
    with pytest.raises(MueError, match="2 evaluations are too few"):
        calibrate(streams.settings, streams.evaluate, 0.4, max_evaluations=2)


def test_exit_scores_without_a_decoder_are_refused() -> None:
    streams = MadeUpStreams(SENSITIVE[0], num_samples=3)
    with pytest.raises(ValueError, match="decoder's exit scores are needed"):
        Settings.from_scores({"image": streams.exit_scores["image"]})


def test_candidate_thresholds_by_hand() -> None:
    # Running maxima of the first two of three layers: (0.2, 0.6), (0.4, 0.4). Sorted: 0.2, 0.4,
    # 0.4, 0.6.
    # Threshold 0.3: rows leave at 2 and 1. Threshold 0.5: at 2 and (never above) 3.
    candidates = candidate_thresholds([[0.2, 0.6, 0.9], [0.4, 0.1, 0.3]], num_levels=4)
    assert candidates.thresholds == pytest.approx([NEVER, 0.5, 0.3, AT_ONCE])
    assert candidates.saved == pytest.approx([0, 1 - 2.5 / 3, 1 - 1.5 / 3, 1 - 1 / 3])


@given(st.integers(0, 1000), st.integers(2, 12), st.integers(1, 40))
def test_candidate_thresholds_foretell_their_exits(
    seed: int, num_layers: int, num_rows: int
) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 1, (num_rows, num_layers))
    candidates = candidate_thresholds(scores)
    for threshold, saved in zip(candidates.thresholds, candidates.saved, strict=True):
        assert saved == pytest.approx(1 - exits(scores, threshold).mean() / num_layers)
        assert np.abs(scores - threshold).min() > 1e-9
    assert (candidates.thresholds[0], candidates.thresholds[-1]) == (NEVER, AT_ONCE)
    assert (np.diff(candidates.thresholds) < 0).all()


def test_rounding_noise_makes_no_candidates() -> None:
    """One prompt for all samples: similarities equal but for rounding. The only choices are whole
    layers.
    """
    scores = np.array([0.5, 0.8, 0.9, 0.99]) + np.random.default_rng(0).normal(size=(50, 4)) * 1e-7
    candidates = candidate_thresholds(scores)
    assert candidates.saved == pytest.approx([0, 1 / 4, 2 / 4, 3 / 4])
    assert candidates.thresholds == pytest.approx([NEVER, 0.85, 0.65, AT_ONCE], abs=1e-6)


def test_without_decay_gives_what_the_threshold_itself_is_compared_with() -> None:
    decay = Decay(beta=0.8, tau=2.0, full_depth_steps=1)
    similarities, steps = np.linspace(0.3, 0.99, 12).reshape(4, 3), [1, 2, 3, 4]
    compared = without_decay(similarities, steps, num_steps=5, decay=decay)
    assert (compared[0] == -np.inf).all()
    for row, step in zip(range(1, 4), steps[1:], strict=True):
        for theta in np.linspace(-1, 1, 31):
            leaves = similarities[row] > decayed_threshold(
                float(theta), step, 5, decay.beta, decay.tau
            )
            assert ((compared[row] > theta) == leaves).all()


def test_without_decay_refuses_a_beta_that_ignores_the_threshold() -> None:
    with pytest.raises(ValueError, match="beta"):
        without_decay([[0.5]], [1], 5, Decay(beta=0.0))
